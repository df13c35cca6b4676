package faults

import (
	"fmt"
	"strings"
)

// values are one or more of every JSON type.
func values() []string {
	return []string{
		`null`, `true`, `false`, `0`, `-1`, `1e309`, `123456789012345678901234567890`, `1.5e-400`,
		`""`, `"c"`, `"\u0000"`, `"\ud800"`, `"read-only"`, `"` + strings.Repeat("x", 10_000) + `"`,
		`[]`, `[null]`, `{}`, `{"a":{"b":[]}}`,
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	}
}

// wrongCommands are the commands of the protocol with every value in every place. Few of them are right. Those that
// would end the connection are left out.
func wrongCommands() []string {
	places := []string{
		`%s`,
		`{"auth":%s}`, `{"auth":{"access":%s,"secret":""}}`, `{"auth":{"access":"read-only","secret":%s}}`,
		`{"subscribe":%s}`, `{"subscribe":{"channel":%s}}`, `{"subscribe":{"channel":"c","more":%s}}`,
		`{"unsubscribe":%s}`, `{"unsubscribe":{"channel":%s}}`,
		`{"publish":%s}`, `{"publish":{"event":%s,"channel":"c","data":1}}`, `{"publish":{"event":"e","channel":%s,"data":1}}`,
		`{"publish":{"event":"e","channel":"c","data":%s}}`, `{"publish":{"event":"e","channel":"c"},"id":%s}`,
		`{"logout":%s}`, `{"more":%s}`, `{"id":%s}`, `{"id":%s,"logout":true}`, `{"logout":true,"subscribe":%s}`,
	}
	var commands []string
	for _, place := range places {
		for _, value := range values() {
			commands = append(commands, fmt.Sprintf(place, value))
		}
	}
	for _, value := range values() {
		if value != "true" {
			commands = append(commands, fmt.Sprintf(`{"disconnect":%s}`, value))
		}
	}
	return append(commands, "", " ", "{", `{"`, `{"auth"`, "nul", "\ufeff{}", "{}{}", `{"logout":true}x`)
}
