package config

import _ "embed" // the example is a file, so that it reads like one

//go:embed example.toml
var example string

// Example is a file with every key, its default and what it means. As it is it sets the defaults; tables of lists are switched off by a # before them.
func Example() string { return example }
