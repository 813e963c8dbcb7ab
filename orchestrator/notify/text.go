package notify

import (
	"fmt"
	"strings"
	"text/template"
	"time"
	"unicode"

	"tresor/orchestrator"
)

// Templates of mails, for text/template; empty ones are the defaults. The values are those of Page.
type Templates struct {
	Subject string
	Body    string
}

// Page is what templates can use.
type Page struct {
	Description string // of the installation, by the configuration
	Host        string
	Date        string // of the event, in local time, to the minute
	Event       orchestrator.Event
	Count       int    // equal events that are in it
	First       string // when the first of them was
	Log         string // what is attached, or why nothing is; empty: there is no run
}

// Failed, OK and Warned tell severities apart in templates.
func (p Page) Failed() bool { return p.Event.Severity == orchestrator.Failure }

// Warned is a warning.
func (p Page) Warned() bool { return p.Event.Severity == orchestrator.Warning }

// OK is the end of a run in which nothing went wrong.
func (p Page) OK() bool {
	return p.Event.Kind == orchestrator.RunEnded && p.Event.Severity == orchestrator.Info
}

// DefaultTemplates has the predecessor's subjects: "HOST BACKUP OK." and "HOST DATE FAILURE!!!", with what it is about behind.
func DefaultTemplates() Templates {
	return Templates{
		Subject: `{{with .Description}}{{.}} {{end}}{{.Host}} {{if .OK}}BACKUP OK. {{else if .Failed}}{{.Date}} FAILURE!!! {{else if .Warned}}{{.Date}} WARNING: {{end}}{{.Event.Subject}}` +
			`{{if gt .Count 1}} ({{.Count}} times){{end}}`,
		Body: `What:  {{.Event.Subject}}
Where: {{.Host}}{{with .Event.Machine}}, machine {{.}}{{end}}{{with .Event.Volume}}, volume {{.}}{{end}}{{with .Event.Run}}, run {{.}}{{end}}
When:  {{.Date}}{{if gt .Count 1}}, {{.Count}} times since {{.First}}; what follows is of the last time{{end}}
{{with .Event.Body}}
{{.}}
{{end}}{{if or .Failed .Warned}}
What to do:
{{with .Event.Advice}}{{.}}{{else}}Look at the log of the run (tresor log{{with .Event.Run}} {{.}}{{end}}) and at tresor status.{{end}}
{{else}}{{with .Event.Advice}}
{{.}}
{{end}}{{end}}{{with .Log}}
{{.}}
{{end}}`,
	}
}

// texts are parsed templates.
type texts struct{ subject, body *template.Template }

// parse tries the templates on an event too, so that a wrong name is found now and not when something has failed.
func (t Templates) parse() (texts, error) {
	d := DefaultTemplates()
	var out texts
	for _, p := range []struct {
		name, text, byDefault string
		to                    **template.Template
	}{{"subject", t.Subject, d.Subject, &out.subject}, {"body", t.Body, d.Body, &out.body}} {
		if p.text == "" {
			p.text = p.byDefault
		}
		parsed, err := template.New(p.name).Option("missingkey=error").Parse(p.text)
		if err == nil {
			err = parsed.Execute(&strings.Builder{}, Page{Host: "host", Count: 2, Event: orchestrator.Event{Severity: orchestrator.Failure}})
		}
		if err != nil {
			return texts{}, fmt.Errorf("template of mails: %w", err)
		}
		*p.to = parsed
	}
	return out, nil
}

func (t texts) render(p Page) (subject, body string, err error) {
	var s, b strings.Builder
	if err := t.subject.Execute(&s, p); err != nil {
		return "", "", fmt.Errorf("template of mails: %w", err)
	}
	if err := t.body.Execute(&b, p); err != nil {
		return "", "", fmt.Errorf("template of mails: %w", err)
	}
	return oneLine(s.String()), b.String(), nil
}

func newPage(m Message, log string) Page {
	e := m.Event
	e.Subject, e.Machine, e.Volume = oneLine(e.Subject), oneLine(e.Machine), oneLine(e.Volume) // a name may have a line end in it
	return Page{Host: m.Host, Date: stamp(e.Time), Event: e, Count: m.Count, First: stamp(m.First), Log: log}
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

// oneLine makes a subject of whatever it gets: names of files and machines may have anything in them.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)), " ")
	if r := []rune(text); len(r) > 200 {
		text = string(r[:199]) + "…"
	}
	return text
}
