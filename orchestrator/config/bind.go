package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// The library's own binding stops at the first mistake, takes keys in any case and gives entries of lists no defaults; this one does not.

// fields are the keys of a table: tag to field. Fields of an embedded struct are its own.
func fields(t reflect.Type) map[string]reflect.StructField {
	m := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if tag := f.Tag.Get("toml"); tag != "" && tag != "-" {
			m[tag] = f
		}
	}
	return m
}

func (k *checker) bindRoot(tree map[string]any) { k.bindTable("", tree, reflect.ValueOf(k.c).Elem()) }

func (k *checker) bindTable(path string, table map[string]any, v reflect.Value) {
	known := fields(v.Type())
	for key, value := range table {
		at := join(path, key)
		f, ok := known[key]
		if !ok {
			k.mistake(at, "%s", unknownKey(key, slices.Collect(maps.Keys(known))))
			continue
		}
		k.set[at] = true
		k.bind(at, value, v.FieldByIndex(f.Index))
	}
}

// unknownKey says what may have been meant: a key of the same table, or one of the same name elsewhere.
func unknownKey(key string, known []string) string {
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", near)
	}
	if places := places(key); len(places) > 0 {
		return fmt.Sprintf("unknown key here; it belongs in %s", places[0])
	}
	slices.Sort(known)
	return fmt.Sprintf("unknown key; known here are %v", known)
}

// places are the tables that have a key, in the notation of a header.
func places(key string) (list []string) {
	for _, s := range Keys() {
		if s.Name == key && s.Table != "" {
			list = append(list, s.Table)
		}
	}
	return list
}

func (k *checker) bind(path string, value any, v reflect.Value) {
	if list, ok := value.([]map[string]any); ok && v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Struct {
		k.wrong(path, "a list of values", list)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		k.bind(path, value, v.Elem())
	case reflect.Struct:
		if table, ok := value.(map[string]any); ok {
			k.bindTable(path, table, v)
		} else {
			k.wrong(path, "a table", value)
		}
	case reflect.Map:
		k.bindMap(path, value, v)
	case reflect.Slice:
		k.bindSlice(path, value, v)
	default:
		k.bindScalar(path, value, v)
	}
}

func (k *checker) bindMap(path string, value any, v reflect.Value) {
	table, ok := value.(map[string]any)
	if !ok {
		k.wrong(path, "a table", value)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for key, one := range table {
		e := reflect.New(v.Type().Elem()).Elem()
		k.bind(join(path, key), one, e)
		v.SetMapIndex(reflect.ValueOf(key), e)
	}
}

func (k *checker) bindSlice(path string, value any, v reflect.Value) {
	var list []any
	switch x := value.(type) {
	case []any:
		list = x
	case []map[string]any:
		for _, one := range x {
			list = append(list, one)
		}
	default:
		want := "a list"
		if v.Type().Elem().Kind() == reflect.Struct {
			want = fmt.Sprintf("a list of tables, each beginning with [[%s]]", path)
		}
		k.wrong(path, want, value)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, one := range list {
		element(v.Index(i).Addr().Interface())
		k.bind(index(path, i), one, v.Index(i))
	}
}

func (k *checker) bindScalar(path string, value any, v reflect.Value) {
	switch v.Interface().(type) {
	case string:
		if s, ok := value.(string); ok {
			v.SetString(s)
			return
		}
		k.wrong(path, "a string", value)
	case bool:
		if b, ok := value.(bool); ok {
			v.SetBool(b)
			return
		}
		k.wrong(path, "true or false", value)
	case int:
		if n, ok := value.(int64); ok {
			v.SetInt(n)
			return
		}
		k.wrong(path, "a whole number", value)
	case int64:
		k.bindParsed(path, value, v, "a size: bytes, or a string such as \"5G\"", parseSize)
	case time.Duration:
		k.bindParsed(path, value, v, "a time: a string such as \"90s\", \"5m\", \"4h\" or \"2d\"", parseDuration)
	default:
		k.mistake(path, "a key of type %s, which cannot be read", v.Type())
	}
}

// bindParsed reads a string with a unit; a number without one is a size in bytes, and no time.
func (k *checker) bindParsed(path string, value any, v reflect.Value, want string, parse func(string) (int64, error)) {
	switch x := value.(type) {
	case int64:
		if v.Type() == reflect.TypeFor[int64]() || x == 0 {
			v.SetInt(x)
			return
		}
	case string:
		n, err := parse(x)
		if err == nil {
			v.SetInt(n)
			return
		}
	}
	k.wrong(path, want, value)
}

// wrong is a value of another type than wanted.
func (k *checker) wrong(path, want string, found any) {
	k.mistake(path, "want %s, found %s", want, shown(found))
}

// shown is a value for a message.
func shown(v any) string {
	switch x := v.(type) {
	case string:
		return fmt.Sprintf("%q", x)
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	case []any:
		return "a list"
	case time.Duration:
		return formatDuration(x)
	case time.Time:
		return "the date " + x.Format(time.RFC3339)
	case float64:
		return fmt.Sprintf("the fraction %v", x)
	}
	return fmt.Sprint(v)
}

// nearest is the candidate that is most like word: at most a third of the letters, and at least one, may differ. Of equal ones the first by name.
func nearest(word string, candidates []string) string {
	best, limit := "", max(1, len(word)/3)+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(word, c); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with a neighbour. cmd/internal/cli has the same for verbs, which a package
// below cmd cannot import.
func distance(a, b string) int {
	var last, before []int // the rows of the two letters of a before this one
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last, before, row = row, last, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
