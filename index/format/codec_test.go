package format_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"

	"tresor/index/format"
)

func TestFileHeader(t *testing.T) {
	for _, size := range []uint64{0, 1, 0x0102030405060708, math.MaxInt64} {
		buf := bytes.Repeat([]byte{0xee}, 20)
		format.PutFileHeader(buf, size)
		want := append([]byte("DDUMBFSF"), byte(size>>56), byte(size>>48), byte(size>>40), byte(size>>32),
			byte(size>>24), byte(size>>16), byte(size>>8), byte(size), 0xee, 0xee, 0xee, 0xee)
		if !bytes.Equal(buf, want) {
			t.Errorf("size %d: have % x, want % x", size, buf, want)
		}
		if have, err := format.GetFileHeader(buf); err != nil || have != size {
			t.Errorf("size %d: came back as %d, %v", size, have, err)
		}
	}
}

func TestFileHeaderRefuses(t *testing.T) {
	good := make([]byte, 16)
	format.PutFileHeader(good, 5)
	tooBig := bytes.Clone(good)
	tooBig[8] = 0x80
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":   {nil, `corrupt file header magic in data at offset 0: want "DDUMBFSF", have ""`},
		"cut magic": {good[:7], `corrupt file header magic in data at offset 0: want "DDUMBFSF", have "DDUMBFS"`},
		"cut size":  {good[:15], `corrupt file header length in data at offset 0: want 16 bytes, have 15`},
		"other":     {[]byte("DDUMBFSI12345678"), `corrupt file header magic in data at offset 0: want "DDUMBFSF", have "DDUMBFSI"`},
		"size":      {tooBig, `corrupt file header size in data at offset 8: want at most 9223372036854775807, have 9223372036854775813`},
	} {
		_, err := format.GetFileHeader(c.data)
		if !errors.Is(err, format.ErrCorrupt) || err.Error() != c.want {
			t.Errorf("%s: have %v\nwant %s", name, err, c.want)
		}
	}
}

func FuzzFileHeader(f *testing.F) {
	f.Add([]byte("DDUMBFSF\x00\x00\x00\x00\x00\x00\x00\x05"))
	f.Add([]byte("DDUMBFSF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		size, err := format.GetFileHeader(data)
		if err != nil {
			if !errors.Is(err, format.ErrCorrupt) {
				t.Errorf("% x: %v is not of class ErrCorrupt", data, err)
			}
			return
		}
		out := make([]byte, 16)
		format.PutFileHeader(out, size)
		if !bytes.Equal(out, data[:16]) {
			t.Errorf("% x came back as % x", data[:16], out)
		}
	})
}

func TestCheckMagic(t *testing.T) {
	if err := format.CheckMagic([]byte("DDUMBFSI and more"), format.MagicIndex, "index"); err != nil {
		t.Error(err)
	}
	err := format.CheckMagic([]byte("DDUMBFSB"), format.MagicIndex, "index")
	const want = `corrupt index magic in data at offset 0: want "DDUMBFSI", have "DDUMBFSB"`
	if err == nil || err.Error() != want || !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("have %v\nwant %s", err, want)
	}
}

func TestInFile(t *testing.T) {
	_, err := format.GetFileHeader([]byte("DDUMBFSF\x80234567"))
	if err == nil {
		t.Fatal("bad header accepted")
	}
	var c *format.CorruptError
	if err := format.InFile("/v/x", 100, err); !errors.As(err, &c) || c.File != "/v/x" {
		t.Errorf("have %v, want it in /v/x", err)
	}
	if again := format.InFile("/other", 100, format.InFile("/v/x", 0, err)); !errors.As(again, &c) || c.File != "/v/x" {
		t.Errorf("have %v, want it to stay in /v/x", again)
	}
	if err := format.InFile("/v/x", 0, io.EOF); !errors.Is(err, io.EOF) || errors.As(err, &c) {
		t.Errorf("have %v, want io.EOF", err)
	}
}

func TestMark(t *testing.T) {
	classes := []error{format.ErrCorrupt, format.ErrNoSpace, format.ErrBusy, format.ErrReadOnly, format.ErrUnsupported, format.ErrIO}
	for _, class := range classes {
		cause := fmt.Errorf("write block 5: %w", io.ErrShortWrite)
		err := fmt.Errorf("store: %w", format.Mark(class, cause))
		if !errors.Is(err, class) || !errors.Is(err, io.ErrShortWrite) || err.Error() != "store: write block 5: short write" {
			t.Errorf("%v: have %v", class, err)
		}
		for _, other := range classes {
			if other != class && errors.Is(err, other) {
				t.Errorf("marked %v, is also %v", class, other)
			}
		}
		if format.Mark(class, nil) != nil {
			t.Errorf("%v: mark of nil is not nil", class)
		}
	}
}
