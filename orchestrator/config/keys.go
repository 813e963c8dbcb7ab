package config

import "reflect"

// Key is a key that a file may have.
type Key struct {
	Table string // as its header: "", [paths], [[source.dir]], [volume.retention]
	Name  string
	List  bool // the table is one of a list
}

// Keys lists every key of every table, in the order of the structs. Tables of a list that stand in another are named after both.
func Keys() []Key { return tableKeys("", reflect.TypeFor[Config](), false) }

func tableKeys(table string, t reflect.Type, list bool) (keys []Key) {
	header := ""
	switch {
	case table != "" && list:
		header = "[[" + table + "]]"
	case table != "":
		header = "[" + table + "]"
	}
	var below []Key
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("toml")
		if tag == "" || tag == "-" {
			continue
		}
		of, many := f.Type, false
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			many = many || of.Kind() == reflect.Slice
			of = of.Elem()
		}
		name := tag
		if table != "" {
			name = table + "." + tag
		}
		if of.Kind() == reflect.Struct {
			if f.Type.Kind() == reflect.Map {
				name += ".NAME"
			}
			below = append(below, tableKeys(name, of, many)...)
			continue
		}
		keys = append(keys, Key{Table: header, Name: tag, List: list})
	}
	return append(keys, below...)
}
