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
	attachMax = 10 << 20
	tailSize  = 256 << 10 // of a log that is too long even packed
)

// attachment makes the attachment of a run, and a line for the mail about it. A log that is not there or cannot be read does not keep the mail back: the line
// says so. The error is the end of ctx alone.
func (m Mail) attachment(ctx context.Context, run string) (*attached, string, error) {
	if m.RunLog == nil || run == "" {
		return nil, "", nil
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
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, "The log of this run is gone.", nil
	case err != nil:
		return nil, fmt.Sprintf("The log of this run cannot be read: %v", err), nil
	case c.size <= int64(c.plainMax):
		return &attached{name, "text/plain; charset=utf-8", c.plain}, "The full log of the run is attached.", nil
	case c.packed.Len() <= c.packedMax:
		return &attached{name + ".gz", "application/gzip", c.packed.Bytes()}, "The full log of the run is attached, packed by gzip.", nil
	}
	return &attached{name, "text/plain; charset=utf-8", c.tail}, fmt.Sprintf("The log of the run has %d bytes, too many for a mail: its end is attached, and `tresor log %s` shows all of it.",
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
