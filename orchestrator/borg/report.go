package borg

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Result of a backup, or of one repository.
type Result string

const (
	OK      Result = "ok"
	Partial Result = "partial" // the archive is there and lacks something, or the repository could not be thinned
	Failed  Result = "failed"  // there is no archive, or the repository is damaged
)

// worse tells which of two results is worse.
func worse(a, b Result) Result {
	rank := map[Result]int{"": 0, OK: 1, Partial: 2, Failed: 3}
	if rank[a] >= rank[b] {
		return a
	}
	return b
}

// Reason is why a result is not OK.
type Reason struct {
	Repository string `json:"repository,omitempty"` // empty: it concerns all
	Step       string `json:"step"`
	Text       string `json:"text"`
	Advice     string `json:"advice,omitempty"` // what to do
}

func (r Reason) String() string {
	text := r.Step + ": " + r.Text
	if r.Repository != "" && !strings.HasPrefix(r.Text, "repository "+r.Repository+":") {
		text = "repository " + r.Repository + ": " + text
	} else if r.Repository != "" {
		text = r.Text
	}
	if r.Advice != "" {
		text += " (" + r.Advice + ")"
	}
	return text
}

// Report is what a backup gave.
type Report struct {
	Result       Result             `json:"result"`
	Begun        time.Time          `json:"begun"` // UTC
	Took         time.Duration      `json:"took_ns"`
	Reasons      []Reason           `json:"reasons,omitempty"` // of all repositories, and what concerns all
	Repositories []RepositoryReport `json:"repositories"`
}

// RepositoryReport is what one repository got.
type RepositoryReport struct {
	Name      string        `json:"name"`
	Result    Result        `json:"result"`
	Took      time.Duration `json:"took_ns"`
	Made      bool          `json:"made,omitempty"`    // it is new: its key should be exported (borg key export)
	Archive   string        `json:"archive,omitempty"` // empty: none was made
	Whole     bool          `json:"whole,omitempty"`   // the archive lacks nothing that could have been read
	Stats     Stats         `json:"stats"`
	Checked   Check         `json:"checked,omitempty"` // what was checked and found right
	Pruned    []string      `json:"pruned,omitempty"`
	Archives  int           `json:"archives,omitempty"` // after pruning, those of others too; 0: not counted
	Compacted bool          `json:"compacted,omitempty"`
	Reasons   []Reason      `json:"reasons,omitempty"`
}

func (r *Report) add(one RepositoryReport) {
	r.Repositories = append(r.Repositories, one)
	r.Reasons = append(r.Reasons, one.Reasons...)
	r.Result = worse(r.Result, one.Result)
}

// note adds a reason that is no error of a call.
func (r *RepositoryReport) note(result Result, step, text string) {
	r.Result = worse(r.Result, result)
	r.Reasons = append(r.Reasons, Reason{Repository: r.Name, Step: step, Text: text})
}

func (r *RepositoryReport) fail(result Result, step string, err error) {
	reason := Reason{Repository: r.Name, Step: step, Text: err.Error()}
	var e *Error
	if errors.As(err, &e) {
		reason.Advice = advice(e.ID)
	}
	r.Result = worse(r.Result, result)
	r.Reasons = append(r.Reasons, reason)
}

// String is the summary for people: the result, each repository, all reasons.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "borg: %s in %v\n", r.Result, seconds(r.Took))
	for _, one := range r.Repositories {
		fmt.Fprintf(&b, "  %s: %s in %v", one.Name, one.Result, seconds(one.Took))
		if one.Archive != "" {
			fmt.Fprintf(&b, ", archive %s with %d files, %d bytes, %d of them new", one.Archive, one.Stats.Files, one.Stats.Original, one.Stats.Deduplicated)
		}
		if one.Made {
			b.WriteString(", repository made: export its key (borg key export) and keep it elsewhere")
		}
		if one.Checked != CheckNone {
			fmt.Fprintf(&b, ", checked (%s)", one.Checked)
		}
		if len(one.Pruned) > 0 {
			fmt.Fprintf(&b, ", %d archives pruned", len(one.Pruned))
		}
		if one.Compacted {
			b.WriteString(", compacted")
		}
		b.WriteByte('\n')
	}
	if len(r.Reasons) > 0 {
		b.WriteString("why it is not ok:\n")
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(&b, "  - %s\n", reason)
	}
	return b.String()
}
