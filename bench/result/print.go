package result

import (
	"fmt"
	"io"
	"strings"
)

// printer keeps the first error of its writer, so that a page is printed without a check after each line.
type printer struct {
	w   io.Writer
	err error
}

// Write implements io.Writer for a tabwriter above.
func (p *printer) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.w.Write(b)
	p.err = err
	return n, err
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) done(operation string) error {
	if p.err != nil {
		return fmt.Errorf("%s: %w", operation, p.err)
	}
	return nil
}

// Short is the revision as people write it: seven digits of the hash, with "+" if the work tree was modified.
func (r Revision) Short() string {
	s := r.Git
	if s == "" {
		s = "unknown"
	}
	if len(s) == 40 && strings.Trim(s, "0123456789abcdef") == "" {
		s = s[:7]
	}
	if r.Modified {
		s += "+"
	}
	return s
}

// Subject is what was measured: a revision, or the two sides of a comparison.
func (r *Run) Subject() string {
	if a, b, ok := r.Sides(); ok {
		return fmt.Sprintf("A: %s and B: %s", a.Revision.Short(), b.Revision.Short())
	}
	return "revision " + r.Revision.Short()
}

// title says what a run measured, when and on what, in one line.
func (r *Run) title() string {
	return fmt.Sprintf("revision %s, %s, %s", r.Revision.Short(), r.Started.UTC().Format("2006-01-02 15:04"), r.Machine)
}

// String is the machine in one line; what is unknown is left out.
func (m Machine) String() string {
	var list []string
	add := func(format, value string) {
		if value != "" {
			list = append(list, fmt.Sprintf(format, value))
		}
	}
	cpu := m.CPU
	if m.Cores > 0 {
		cpu = strings.TrimSuffix(fmt.Sprintf("%d x %s", m.Cores, cpu), " x ")
	}
	add("%s", cpu)
	if m.Memory > 0 {
		add("%s", fmt.Sprintf("%.0f GiB", float64(m.Memory)/(1<<30)))
	}
	add("kernel %s", m.Kernel)
	add("%s", m.Go)
	add("go-fuse %s", m.GoFuse)
	add("%s", m.FileSystem)
	add("on %s", m.Device)
	return strings.Join(list, ", ")
}
