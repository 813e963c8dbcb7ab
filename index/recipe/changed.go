package recipe

// Changed gives every whole entry of raw, each of size bytes, to change, which may change it in place and tells whether it did; i is its number
// in raw. Each run of changed entries then goes to write with one call, first its number; an error of that ends it. Nothing is allocated.
func Changed(raw []byte, size int, change func(i int, entry []byte) bool, write func(first int, raw []byte) error) error {
	from, n := -1, len(raw)/size // from: start of the run, -1 where there is none
	for i := 0; i <= n; i++ {
		changed := i < n && change(i, raw[i*size:(i+1)*size])
		switch {
		case changed && from < 0:
			from = i
		case !changed && from >= 0:
			if err := write(from, raw[from*size:i*size]); err != nil {
				return err
			}
			from = -1
		}
	}
	return nil
}
