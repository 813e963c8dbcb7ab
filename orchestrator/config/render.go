package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Render writes a file that Parse reads as c: what differs from the defaults, and of machines and volumes always name and kind. Comments of a file
// that c was read from are lost. Secrets are not written, only where they are.
func Render(c *Config) []byte {
	b := &strings.Builder{}
	b.WriteString("# Settings of tresor. Keys that are not here have their defaults; `tresor config example` shows and explains all of them.\n")
	have, plain := reflect.ValueOf(c).Elem(), reflect.ValueOf(Default()).Elem()
	renderFields(b, "", have, plain)
	return []byte(b.String())
}

// renderFields writes the tables in v, a Config or its list of sources.
func renderFields(b *strings.Builder, table string, v, plain reflect.Value) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		tag := f.Tag.Get("toml")
		if tag == "" || tag == "-" {
			continue
		}
		name, one := join(table, tag), v.FieldByIndex(f.Index)
		switch {
		case f.Type == reflect.TypeFor[Sources]():
			renderFields(b, name, one, plain.FieldByIndex(f.Index))
		case f.Type.Kind() == reflect.Slice:
			for i := range one.Len() {
				entry := reflect.New(f.Type.Elem())
				element(entry.Interface())
				fmt.Fprintf(b, "\n[[%s]]\n%s", name, renderTable(one.Index(i), entry.Elem()))
			}
		default:
			if text := renderTable(one, plain.FieldByIndex(f.Index)); text != "" {
				fmt.Fprintf(b, "\n[%s]\n%s", name, text)
			}
		}
	}
}

// renderTable writes the keys of a table that are not as in plain.
func renderTable(v, plain reflect.Value) string {
	b := &strings.Builder{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		tag := f.Tag.Get("toml")
		if tag == "" || tag == "-" {
			continue
		}
		one, other := v.FieldByIndex(f.Index), plain.FieldByIndex(f.Index)
		always := slices.Contains([]string{"name", "kind", "use", "via"}, tag)
		switch {
		case f.Type.Kind() == reflect.Map:
			keys := one.MapKeys()
			slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
			for _, key := range keys {
				fmt.Fprintf(b, "%s = %s\n", toml.Key{tag, key.String()}, renderValue(one.MapIndex(key)))
			}
		case always || !reflect.DeepEqual(one.Interface(), other.Interface()):
			fmt.Fprintf(b, "%s = %s\n", tag, renderValue(one))
		}
	}
	return b.String()
}

func renderValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return quote(formatDuration(x))
	case int64:
		return quote(formatSize(x))
	case string:
		return quote(x)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return renderValue(v.Elem())
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = renderValue(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Struct:
		return renderInline(v)
	}
	return fmt.Sprint(v.Interface())
}

// renderInline writes a table on one line; hours are always whole.
func renderInline(v reflect.Value) string {
	var parts []string
	for _, f := range reflect.VisibleFields(v.Type()) {
		one := v.FieldByIndex(f.Index)
		if one.IsZero() && v.Type() != reflect.TypeFor[Hours]() {
			continue
		}
		parts = append(parts, f.Tag.Get("toml")+" = "+renderValue(one))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// quote makes a basic string of TOML.
func quote(s string) string {
	b := &strings.Builder{}
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
