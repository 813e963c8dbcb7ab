// Command gen writes the generated files of the Tiger hash into the directory it is run in: that of package blockhash.
package main

import (
	"fmt"
	"os"

	"tresor/index/blockhash/internal/tigergen"
)

func main() {
	for name, source := range tigergen.Files() {
		text, err := source()
		if err == nil {
			err = os.WriteFile(name, text, 0o644)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "generate %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}
