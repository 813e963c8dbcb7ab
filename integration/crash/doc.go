// Package crash holds the proof that a killed daemon and a reclaim in the middle of
// everything cost no data: every word in every file says who wrote it, where and
// when, so that each can be judged. It has tests only.
package crash
