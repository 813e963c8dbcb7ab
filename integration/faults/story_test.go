package faults

import "slices"

// story is what one file has been: every content that it was given, the oldest first. A nil content says that there is no such file.
type story struct{ versions []version }

// version is one content of a file. begun is the number of changes of the disk before the call that made it, durable that after the call that
// promised to keep it, -1 if none did.
type version struct {
	data           []byte
	begun, durable int
}

func (s *story) copy() *story { return &story{versions: slices.Clone(s.versions)} }

// now is the newest content, not to be changed.
func (s *story) now() []byte { return s.versions[len(s.versions)-1].data }

func (s *story) add(data []byte, begun int) {
	s.versions = append(s.versions, version{data: data, begun: begun, durable: -1})
}

// keep marks the version with number i as durable.
func (s *story) keep(i, ops int) {
	if s.versions[i].durable < 0 {
		s.versions[i].durable = ops
	}
}

// allowed lists what the file may be after k changes of the disk: the last durable version, or any that was begun since.
func (s *story) allowed(k int) (list [][]byte) {
	base := 0
	for i, v := range s.versions {
		if v.durable >= 0 && v.durable <= k {
			base = i
		}
	}
	for i, v := range s.versions[base:] {
		if i == 0 || v.begun < k {
			list = append(list, v.data)
		}
	}
	return list
}

// span is the part of a content between two offsets, as far as it goes.
func span(data []byte, from, to int) string {
	return string(data[min(from, len(data)):min(to, len(data))])
}
