// Package model runs random operations on a mounted volume and on a plain directory side by side, with remounts in between: every call must
// have the same outcome on both, and both trees must be equal.
package model
