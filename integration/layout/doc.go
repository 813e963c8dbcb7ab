// Package layout holds the rules of the project against its source, as tests: which package may import which (the table in
// docs/architecture.md), and what the code does not do. A message says where the rule is broken and what to write instead.
//
// The rules are in docs/decisions/0001-layout.md where they need a reason.
package layout
