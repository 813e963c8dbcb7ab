package result

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	want := exampleRun(t)
	want.Programs = []Program{{Label: "ours", Path: "/bin/ddumbfs", Revision: want.Revision}}
	want.Void = "null write 2.1 GB/s, want 3.5"
	var text bytes.Buffer
	if err := want.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "run.json", text.Bytes())
	have, err := ReadJSON(&text)
	if err != nil {
		t.Fatal(err)
	}
	want.Format = Format
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
}

func TestReadJSONHostile(t *testing.T) {
	const good = `{"format":1,"took_seconds":1,"series":[{"workload":"w","contender":"c","unit":"s","better":"lower","samples":[{"round":0,"value":1}]}]}`
	if _, err := ReadJSON(strings.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the example", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	one := good[strings.Index(good, `{"workload"`):strings.LastIndex(good, "]")]
	for name, c := range map[string]struct{ text, want string }{
		"empty":             {"", "unexpected end"},
		"cut":               {good[:50], "unexpected end"},
		"not an object":     {"[]", "cannot unmarshal"},
		"two records":       {good + good, "after top-level value"},
		"null series":       {replace(one, "null"), "series 0: null"},
		"unknown unit":      {replace(`"unit":"s"`, `"unit":"furlong"`), "unknown unit"},
		"wrong direction":   {replace("lower", "higher"), `better "higher", want "lower"`},
		"no name":           {replace(`"workload":"w"`, `"workload":""`), "without a name"},
		"series twice":      {replace(one, one+","+one), "there twice"},
		"no samples":        {replace(`{"round":0,"value":1}`, ""), "0 samples"},
		"value 0":           {replace(`"value":1`, `"value":0`), "want a positive number"},
		"value below 0":     {replace(`"value":1`, `"value":-1`), "want a positive number"},
		"value too large":   {replace(`"value":1`, `"value":1e999`), "cannot unmarshal"},
		"value a text":      {replace(`"value":1`, `"value":"1"`), "cannot unmarshal"},
		"round below 0":     {replace(`"round":0`, `"round":-1`), "round -1"},
		"round twice":       {replace(`{"round":0,"value":1}`, `{"round":0,"value":1},{"round":0,"value":1}`), "there twice"},
		"CPU below 0":       {replace(`"value":1`, `"value":1,"cpu_seconds":-2`), "cpu_seconds"},
		"took below 0":      {replace(`"took_seconds":1`, `"took_seconds":-1`), "took_seconds"},
		"deep":              {strings.Repeat("[", 1<<20), "max depth"},
		"more than allowed": {strings.Repeat(" ", maxRecord+1), "more than"},
	} {
		_, err := ReadJSON(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: have %v, want an error with %q", name, err, c.want)
		}
	}
	// Another format may have anything else in it.
	for _, text := range []string{`{"format":2,"series":"none"}`, `{}`, `{"series":[]}`, `null`} {
		if _, err := ReadJSON(strings.NewReader(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: have %v, want ErrFormat", text, err)
		}
	}
}

func TestAddSample(t *testing.T) {
	r := newRun()
	fill(t, r, "w", "c", Seconds, 1)
	for name, err := range map[string]error{
		"another unit":   r.AddSample("w", "c", Bytes, Sample{Round: 7, Value: 1}),
		"round twice":    r.AddSample("w", "c", Seconds, Sample{Round: 4, Value: 1}),
		"value 0":        r.AddSample("w", "c", Seconds, Sample{Round: 7}),
		"new, unit":      r.AddSample("new", "c", "parsec", Sample{Value: 1}),
		"new, no name":   r.AddSample("", "c", Seconds, Sample{Value: 1}),
		"new, value":     r.AddSample("new", "c", Seconds, Sample{Value: -1}),
		"negative round": r.AddSample("w", "c", Seconds, Sample{Round: -1, Value: 1}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(r.Series) != 1 || len(r.Series[0].Samples) != 5 || r.Find("new", "c") != nil {
		t.Errorf("refused samples left something behind: %+v", r.Series)
	}
}

// FuzzReadJSON: whatever is read can be printed, compared and written again.
func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"format":1,"series":[{"workload":"hash/128k","contender":"BLAKE3","unit":"s","better":"lower","samples":[{"round":0,"value":1e-300}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ReadJSON(bytes.NewReader(text))
		if err != nil {
			return
		}
		var out bytes.Buffer
		for _, err := range []error{r.WriteTable(&out), Compare(r, r).WriteText(&out), Compare(r, r).WriteJSON(&out), r.WriteJSON(&out)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
