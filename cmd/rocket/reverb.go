package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// reverbLeftOut says why variables of Reverb have no equivalent. The first one counts
// whose prefix fits.
var reverbLeftOut = []noEquivalent{
	{"REVERB_APP_RATE_LIMIT", "Rocket has limits for a second and not for a minute, all of one connection: CommandRate for messages, ClientEventRate for client events"},
	{"REVERB_SCALING_", "several nodes are one server by Cluster or NATS: docs/cluster.md"},
	{"REVERB_PULSE_", "metrics are at /metrics of the admin port, 127.0.0.1:9773: docs/operations.md"},
	{"REVERB_TELESCOPE_", "rocket top and the log show what a server does: docs/operations.md"},
	{"REVERB_HOST", ""}, // of the application, which finds the server there
	{"REVERB_PORT", ""},
	{"REVERB_SCHEME", ""},
	{"REVERB_SERVER", ""},
}

// importReverb reads the .env of a Laravel application, with the variables of the
// config/reverb.php that Laravel makes.
func importReverb(im *importing) error {
	im.known = reverbLeftOut
	if err := im.readEnv(); err != nil {
		return err
	}
	for name := range im.given {
		if !strings.HasPrefix(name, "REVERB_") {
			delete(im.given, name) // of something else
		}
	}
	id, hasID := im.take("REVERB_APP_ID")
	key, hasKey := im.take("REVERB_APP_KEY")
	secret, hasSecret := im.take("REVERB_APP_SECRET")
	if !hasID || !hasKey || !hasSecret {
		return errors.New("want REVERB_APP_ID, REVERB_APP_KEY and REVERB_APP_SECRET")
	}
	im.server.add("Host", im.or("REVERB_SERVER_HOST", "0.0.0.0"))
	im.server.add("Port", int(im.number("REVERB_SERVER_PORT", 8080)))
	if prefix, ok := im.take("REVERB_SERVER_PATH"); ok {
		im.server.add("AppsPrefix", "/"+strings.Trim(prefix, "/"))
	}
	if n := im.number("REVERB_APP_PING_INTERVAL", 0); n > 0 {
		im.server.add("PingInterval", fmt.Sprintf("%ds", int(n)))
	}
	if n := im.number("REVERB_APP_MAX_MESSAGE_SIZE", 0); n > 0 {
		im.server.add("MaxMessageSize", int(n))
	}
	a := members{{"ID", id}, {"Keys", []any{members{{"Key", key}, {"Secret", secret}}}}}
	if n := im.number("REVERB_APP_MAX_CONNECTIONS", 0); n > 0 {
		a.add("MaxConnections", int(n))
		im.note("REVERB_APP_MAX_CONNECTIONS: a page over it comes back a second later; with RefuseForGood it stops, as with Reverb")
	}
	switch from := im.or("REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM", "members"); from {
	case "none":
		a.add("ClientEvents", "off")
	case "all":
		im.note("REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM: all: client events are taken from subscribers of the channel only")
	}
	if n := im.number("REVERB_APP_ACTIVITY_TIMEOUT", 0); n > 0 {
		a.add("ActivityTimeout", fmt.Sprintf("%ds", int(n)))
	}
	if n := int(im.number("REVERB_MAX_REQUEST_SIZE", 0)); n > pusher.DefaultMaxEventData {
		a.add("MaxEventData", n)
	}
	for prefix, enabled := range map[string]string{
		"REVERB_APP_RATE_LIMIT": "REVERB_APP_RATE_LIMITING_ENABLED", "REVERB_SCALING_": "REVERB_SCALING_ENABLED",
	} {
		if !isOn(im.given[enabled]) {
			im.drop(prefix) // of something that is switched off
		}
	}
	im.note("config/reverb.php is not read: write its allowed_origins into Origins, further applications into Apps, and its certificate into TLSCertFile and TLSKeyFile")
	im.note("Reverb has no limits for these: MaxMembers of a presence channel (%d), MaxEventChannels (%d), MaxBatch (%d), ClientEventRate (%d)",
		pusher.DefaultMaxMembers, pusher.DefaultMaxEventChannels, pusher.DefaultMaxBatch, pusher.DefaultClientEventRate)
	im.apps.add(id, a)
	return nil
}
