package main

import "runtime"

// processorsFor returns what GOMAXPROCS is to be, or 0 for what it is: now.
//
// A loop that waits for its sockets keeps one of Go's processors. If the loops have all
// of them, Go looks every 10 ms only whether something has come from another node, and
// what is acknowledged by other nodes takes that long. So in a cluster there is one
// processor more than there are loops. Without a cluster little runs beside the loops,
// and another processor costs CPU: docs/scaling.md has both figures.
func processorsFor(getenv func(string) string, clustered bool, loops, now int) int {
	if !clustered || getenv("GOMAXPROCS") != "" || now > loops {
		return 0
	}
	return loops + 1
}

// addProcessor sets GOMAXPROCS, once the loops are there: by default there are as many as
// Go has set it to. Go does not follow changes of the control group's quota then, and
// neither does the number of loops.
func (s *service) addProcessor(getenv func(string) string) {
	if n := processorsFor(getenv, s.member != nil, s.server.Loops(), runtime.GOMAXPROCS(0)); n > 0 {
		runtime.GOMAXPROCS(n)
	}
}
