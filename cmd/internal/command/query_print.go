package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"tresor/index/format"
	"tresor/index/query"
)

// queryPrinter writes results as they come, so that there may be any number of them: as lines, or as the lists of one JSON object.
type queryPrinter struct {
	w      io.Writer
	json   bool
	parent string
	began  bool
	list   string // the JSON list that is open
	n      int    // what stands in it
	err    error
}

// begin opens the JSON object. It waits for the first result: a query that cannot be done prints nothing.
func (p *queryPrinter) begin() {
	if !p.began {
		p.printf("{\n  \"parent\": %s", queryJSON(p.parent))
	}
	p.began = true
}

func (p *queryPrinter) printf(text string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, text, args...)
	}
}

// put adds a result to a list, or prints its line.
func (p *queryPrinter) put(list string, value any, text string, args ...any) error {
	if !p.json {
		p.printf(text+"\n", args...)
		return p.err
	}
	p.begin()
	if p.list != list {
		p.close()
		p.printf(",\n  %q: [", list)
		p.list, p.n = list, 0
	}
	if p.n > 0 {
		p.printf(",")
	}
	p.printf("\n    %s", queryJSON(value))
	p.n++
	return p.err
}

func (p *queryPrinter) close() {
	if p.list != "" {
		p.printf("\n  ]")
	}
	p.list = ""
}

// end prints the last member, which ends a JSON object.
func (p *queryPrinter) end(name string, value any, text string, args ...any) error {
	if !p.json {
		p.printf(text+"\n", args...)
		return p.err
	}
	p.begin()
	p.close()
	p.printf(",\n  %q: %s\n}\n", name, queryJSON(value))
	return p.err
}

func (p *queryPrinter) entry(e query.Entry) error {
	text := fmt.Sprintf("index slot %d: address %d, hash %s, %s", e.Slot, e.Addr, e.Hash, queryAllocated(e.Allocated))
	switch e.Content {
	case query.Right:
		text += ", the block holds what the hash says"
	case query.Wrong:
		text += ", THE BLOCK HOLDS SOMETHING ELSE"
	case query.Unreadable:
		text += ", THE BLOCK CANNOT BE READ: " + e.Err
	}
	return p.put("entries", e, "%s", text)
}

func queryAllocated(yes bool) string {
	if yes {
		return "allocated"
	}
	return "NOT ALLOCATED"
}

func (p *queryPrinter) block(b query.Block) error {
	text := fmt.Sprintf("block %d:", b.Addr)
	if b.Allocated != nil {
		text += " " + queryAllocated(*b.Allocated) + ","
	}
	if !b.Indexed {
		text += " in no entry of the index,"
	}
	switch {
	case b.Hash != "":
		text += " its content has hash " + b.Hash
	case b.Err != "":
		text += " CANNOT BE READ: " + b.Err
	default:
		text += " not read"
	}
	return p.put("blocks", b, "%s", text)
}

func (p *queryPrinter) use(u query.Use) error {
	place := ""
	if u.Quarantined {
		place = " (in the quarantine)"
	}
	entries := fmt.Sprintf("entry %d", u.First)
	if u.Count > 1 {
		entries = fmt.Sprintf("entries %d to %d", u.First, u.First+u.Count-1)
	}
	by := "address and hash"
	switch {
	case !u.ByHash:
		by = "address only"
	case !u.ByAddress:
		by = "hash only"
	}
	return p.put("uses", u, "%s%s: %s: address %d, hash %s, by %s", queryLine(u.Path), place, entries, u.Addr, u.Hash, by)
}

func (p *queryPrinter) summary(s *query.Summary) error {
	return p.end("summary", s, "%d entries of the index, %d positions in %d of %d files", s.Entries, s.Positions, s.Files, s.Searched)
}

func (p *queryPrinter) fileRange(r query.Range) error {
	text := fmt.Sprintf("entries %d to %d: %s", r.First, r.First+r.Count-1, r.Kind)
	if r.Kind == "data" {
		text += fmt.Sprintf(", blocks %d to %d", r.Addr, r.Addr+format.Address(r.Count)-1)
	}
	return p.put("ranges", r, "%s", text)
}

func (p *queryPrinter) file(f *query.File) error {
	return p.end("file", f, "%s: header %s, size %d, %d bytes below, %d entries of %d, %d bytes behind them\n"+
		"%d entries with data in %d runs, %d zero, %d lost, %d bad; %d different blocks, %d of them shared with other files\n"+
		"the index has %d of the entries, %d at another address, and does not know %d",
		queryLine(f.Path), f.Header, f.Size, f.Length, f.Entries, f.Wanted, f.Extra, f.Data, f.Runs, f.Zero, f.Lost, f.Bad, f.Blocks, f.Shared,
		f.Known, f.Elsewhere, f.Unknown)
}

// queryLine is a path on one line: a line end in it is written as \n.
func queryLine(path string) string { return strings.ReplaceAll(path, "\n", `\n`) }

// queryJSON is a value as JSON on one line.
func queryJSON(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "null" // the types here have nothing that cannot be encoded
	}
	return strings.TrimSuffix(b.String(), "\n")
}
