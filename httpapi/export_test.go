package httpapi

import "time"

// SetQuiet sets the silence after which a comment is sent, before any stream begins.
func SetQuiet(d time.Duration) (undo func()) {
	before := quiet
	quiet = d
	return func() { quiet = before }
}

// Routes returns the methods of each route.
func Routes() map[string]string {
	all := make(map[string]string)
	for _, r := range routesOf(new(API)) {
		all[r.name] = r.methods
	}
	return all
}
