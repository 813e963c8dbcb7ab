// Package handles holds the proof that file handles (name_to_handle_at) of a
// mount stay good for as long as the object exists, whatever the kernel has
// forgotten and however often the volume was mounted again, and never lead to
// another object. It has tests only.
package handles
