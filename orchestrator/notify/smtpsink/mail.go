package smtpsink

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// Mail is one that was accepted.
type Mail struct {
	From    string   // of the envelope
	To      []string // of the envelope
	User    string   // who had logged in; empty: nobody
	TLS     bool
	Raw     []byte
	Header  mail.Header
	Subject string // decoded
	Text    string // the plain text, decoded
	Files   []File // attachments
	Err     error  // it is no mail that can be taken apart: only the envelope and Raw are right
}

// File is an attachment.
type File struct {
	Name    string
	Content []byte // a name that ends in .gz: unpacked
}

func parse(raw []byte) Mail {
	m := Mail{Raw: bytes.Clone(raw)}
	message, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		m.Err = err
		return m
	}
	m.Header = message.Header
	m.Subject = m.decoded("Subject")
	m.Err = m.part(message.Header.Get("Content-Type"), message.Header.Get("Content-Transfer-Encoding"), "", message.Body)
	return m
}

// part takes a body apart; multipart bodies by calling itself.
func (m *Mail) part(kind, encoding, disposition string, body io.Reader) error {
	media, params, err := mime.ParseMediaType(kind)
	if err != nil {
		media = "text/plain"
	}
	if strings.HasPrefix(media, "multipart/") {
		for r := multipart.NewReader(body, params["boundary"]); ; {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := m.part(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p.Header.Get("Content-Disposition"), p); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(encoding) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	_, where, err := mime.ParseMediaType(disposition)
	if name := where["filename"]; err == nil && name != "" {
		return m.file(name, body)
	}
	text, err := io.ReadAll(body)
	m.Text += strings.ReplaceAll(string(text), "\r\n", "\n")
	return err
}

func (m *Mail) file(name string, body io.Reader) error {
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(body)
		if err != nil {
			return fmt.Errorf("attachment %s: %w", name, err)
		}
		body = z
	}
	content, err := io.ReadAll(body)
	m.Files = append(m.Files, File{name, content})
	return err
}

// decoded is a field of the header as people read it.
func (m Mail) decoded(field string) string {
	text, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(field))
	if err != nil {
		return m.Header.Get(field)
	}
	return text
}

// ID is the Message-ID without its brackets.
func (m Mail) ID() string { return strings.Trim(m.Header.Get("Message-ID"), "<>") }

// Print writes a mail for people: who, to whom, subject, text, names and sizes of what is attached.
func (m Mail) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "---- mail to %s\nFrom:    %s\nSubject: %s\n\n", strings.Join(m.To, ", "), m.decoded("From"), m.Subject)
	for line := range strings.SplitSeq(strings.TrimRight(m.Text, "\n"), "\n") {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	for _, f := range m.Files {
		fmt.Fprintf(&b, "    [attached: %s, %d bytes]\n", f.Name, len(f.Content))
	}
	b.WriteString("----\n")
	_, err := io.WriteString(w, b.String())
	return err
}
