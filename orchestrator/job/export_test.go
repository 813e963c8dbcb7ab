package job

// May is the table of transitions.
func May(from, to State) error { return may(from, to) }
