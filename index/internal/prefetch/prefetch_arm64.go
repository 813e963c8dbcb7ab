package prefetch

// Byte fetches the line in which p lies.
//
//go:noescape
func Byte(p *byte)

// Word fetches the line in which p lies.
//
//go:noescape
func Word(p *uint64)

// ToWrite is Byte for who is going to write there, or to lock: other processors give the line up.
//
//go:noescape
func ToWrite(p *byte)
