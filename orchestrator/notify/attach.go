package notify

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// attached is the log of a run as it goes with a mail.
type attached struct {
	name, kind string
	content    []byte
}

func (a *attached) reader() io.Reader { return bytes.NewReader(a.content) }

const (
	gzipAbove = 256 << 10
	attachMax = 6 << 20   // in base64 still below the 10 000 000 bytes that many servers take
	tailSize  = 256 << 10 // of a log that is too long even packed
)

// portion is how much of a log goes with a mail.
type portion int

const (
	allOfIt portion = iota
	itsEnd
	nothing
)

// attachment makes the attachment of a run, and a line for the mail about it. A log that is not there or cannot be read does not keep the mail back: the line
// says so. why is what the server said to a mail with more of it. The error is the end of ctx alone.
func (m Mail) attachment(ctx context.Context, run string, part portion, why error) (*attached, string, error) {
	if m.RunLog == nil || run == "" {
		return nil, "", nil
	}
	if part == nothing {
		return nil, fmt.Sprintf("The server takes no mail with the log of the run, which `tresor log %s` shows: %v", run, why), nil
	}
	c := &collector{plainMax: m.GzipAbove, packedMax: m.AttachMax}
	if c.plainMax <= 0 {
		c.plainMax = gzipAbove
	}
	if c.packedMax <= 0 {
		c.packedMax = attachMax
	}
	c.zip = gzip.NewWriter(&c.packed)
	err := m.RunLog(ctx, run, c)
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	if err == nil && c.packedMax > 0 {
		err = c.zip.Close()
	}
	name := "tresor-" + run + ".log"
	last := &attached{name, "text/plain; charset=utf-8", c.end()}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, "The log of this run is gone.", nil
	case err != nil:
		return nil, fmt.Sprintf("The log of this run cannot be read: %v", err), nil
	case part == itsEnd:
		return last, fmt.Sprintf("The server takes no mail with all of the log: its end is attached, and `tresor log %s` shows all of it. It said: %v", run, why), nil
	case c.size <= int64(c.plainMax):
		return &attached{name, "text/plain; charset=utf-8", c.plain}, "The full log of the run is attached.", nil
	case c.packed.Len() <= c.packedMax:
		return &attached{name + ".gz", "application/gzip", c.packed.Bytes()}, "The full log of the run is attached, packed by gzip.", nil
	}
	return last, fmt.Sprintf("The log of the run has %d bytes, too many for a mail: its end is attached, and `tresor log %s` shows all of it.",
		c.size, run), nil
}

// collector takes a log in three forms, each of a bounded size: as it is, packed, and its end.
type collector struct {
	plainMax, packedMax int
	size                int64
	plain, tail         []byte
	packed              bytes.Buffer
	zip                 *gzip.Writer
}

// end is the last part of the log, from the begin of a line on.
func (c *collector) end() []byte {
	tail := c.tail
	if len(tail) > tailSize {
		tail = tail[len(tail)-tailSize:]
	}
	if int64(len(tail)) < c.size {
		if _, rest, ok := bytes.Cut(tail, []byte{'\n'}); ok {
			return rest
		}
	}
	return tail
}

// Write never refuses anything.
func (c *collector) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	if c.size <= int64(c.plainMax) {
		c.plain = append(c.plain, p...)
	} else {
		c.plain = nil
	}
	if c.tail = append(c.tail, p...); len(c.tail) > 2*tailSize {
		c.tail = bytes.Clone(c.tail[len(c.tail)-tailSize:])
	}
	if c.packed.Len() <= c.packedMax { // beyond, what is packed is of no use
		if _, err := c.zip.Write(p); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
