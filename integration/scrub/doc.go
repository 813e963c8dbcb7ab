// Package scrub tests scrub, verify and the control socket of mounted volumes: damage below a mount is found, named and healed, beside writers
// and over remounts.
package scrub
