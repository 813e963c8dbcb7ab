// Package heal holds the proof that a block that decays below is never served as
// right, cannot poison new data, and is healed in every file by one rewrite of the
// same content. It has tests only.
package heal
