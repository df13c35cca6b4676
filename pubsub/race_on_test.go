//go:build race

package pubsub

// raceDetector is on: a test without goroutines takes a part of its steps.
const raceDetector = true
