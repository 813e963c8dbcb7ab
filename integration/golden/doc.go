// Package golden holds the proof that volumes of the original are served, used
// and left as the format page says: each is mounted, compared with what the
// original had in it, worked on, mounted again, and checked. It has tests only.
package golden
