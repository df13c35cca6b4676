package presence

import (
	"errors"
	"fmt"
	"time"
)

// Mode says what the members of a channel are.
type Mode uint8

const (
	// Off: there is no presence.
	Off Mode = iota

	// Clients: each connection is a member.
	Clients

	// Users: each user is a member, from the first of their connections to the last.
	// A connection without a user is a member of its own.
	Users
)

// Modes are the names of the modes in configurations.
var Modes = map[string]Mode{"clients": Clients, "users": Users}

// String returns the name of the mode, "off" for Off.
func (m Mode) String() string {
	for name, mode := range Modes {
		if mode == m {
			return name
		}
	}
	return "off"
}

// Config says how presence works in a channel. The zero value is Off.
type Config struct {
	Mode Mode

	// Interval is the time between two notices about one channel, at least. If zero,
	// 250 ms.
	Interval time.Duration

	// LeaveAfter is for how long a user without a connection stays a member. One who
	// comes back within that time was never away. It needs the mode Users. If zero,
	// they leave at once.
	LeaveAfter time.Duration

	// MaxListed is up to how many members notices say who joined and who left; if there
	// are more, they have the numbers alone. If zero, 1,000.
	MaxListed int

	// MaxMembers is how many members the pages list, those that have been there for
	// longest. Further ones are counted. If zero, 10,000.
	MaxMembers int
}

// Defaults and limits of Config.
const (
	DefaultInterval   = 250 * time.Millisecond
	DefaultMaxListed  = 1000
	DefaultMaxMembers = 10_000

	MinInterval      = 100 * time.Millisecond
	MaxInterval      = time.Minute
	MaxLeaveAfter    = time.Hour
	MaxMembersListed = 1_000_000 // of MaxListed and MaxMembers
)

// Check returns what is wrong with the settings, nil if they can be obeyed.
func (c Config) Check() error {
	switch full := c.WithDefaults(); {
	case c.Mode == Off && c != (Config{}):
		return errors.New(`Presence needs a Mode: "clients" or "users"`)
	case c.Mode > Users:
		return fmt.Errorf("Presence.Mode is %d", c.Mode)
	case c.Mode == Off:
		return nil
	case full.Interval < MinInterval || full.Interval > MaxInterval:
		return fmt.Errorf("Presence.Interval is %v; want %v to %v", c.Interval, MinInterval, MaxInterval)
	case c.LeaveAfter < 0 || c.LeaveAfter > MaxLeaveAfter:
		return fmt.Errorf("Presence.LeaveAfter is %v; want 0 to %v", c.LeaveAfter, MaxLeaveAfter)
	case c.LeaveAfter > 0 && c.Mode != Users:
		return errors.New(`Presence.LeaveAfter needs the Mode "users": a connection does not come back`)
	case full.MaxMembers < 1 || full.MaxMembers > MaxMembersListed:
		return fmt.Errorf("Presence.MaxMembers is %d; want 1 to %d", c.MaxMembers, MaxMembersListed)
	case full.MaxListed < 1 || full.MaxListed > full.MaxMembers:
		return fmt.Errorf("Presence.MaxListed is %d; want 1 to MaxMembers, which is %d", full.MaxListed, full.MaxMembers)
	}
	return nil
}

// WithDefaults returns the settings with the defaults filled in. Those of Off stay zero.
func (c Config) WithDefaults() Config {
	if c.Mode == Off {
		return c
	}
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.MaxMembers == 0 {
		c.MaxMembers = DefaultMaxMembers
	}
	if c.MaxListed == 0 {
		c.MaxListed = min(DefaultMaxListed, c.MaxMembers)
	}
	return c
}
