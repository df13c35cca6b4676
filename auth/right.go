package auth

import "strings"

// Right is a set of things that a token lets its bearer do in a channel. The zero
// value is no right.
type Right uint8

const (
	Subscribe Right = 1 << iota // hear the events of the channel
	Publish                     // send events to it
	History                     // read events that are kept, and recover
	Presence                    // read who is there
)

// rightNames are the rights as tokens name them, in the order of String.
var rightNames = []struct {
	right Right
	name  string
}{
	{Subscribe, "subscribe"}, {Publish, "publish"}, {History, "history"}, {Presence, "presence"},
}

// RightNamed returns the right that a token calls name, or 0 if there is none.
func RightNamed(name string) Right {
	for _, r := range rightNames {
		if r.name == name {
			return r.right
		}
	}
	return 0
}

// names returns the names of the rights in r.
func (r Right) names() []string {
	var names []string
	for _, n := range rightNames {
		if r&n.right != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// String returns the names of the rights in r, "subscribe, publish"; "nothing" for 0.
func (r Right) String() string {
	if r == 0 {
		return "nothing"
	}
	return strings.Join(r.names(), ", ")
}
