// Package demo holds the script behind `make demo-engine`, its tests and those of `make demo`: that the main job works on a small image, that it refuses
// what cannot work with a sentence, and that it leaves nothing behind when it is interrupted.
package demo
