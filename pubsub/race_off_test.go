//go:build !race

package pubsub

const raceDetector = false
