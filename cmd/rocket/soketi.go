package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// soketiLeftOut says why options of soketi have no equivalent. The first one counts
// whose prefix fits.
var soketiLeftOut = []noEquivalent{
	{"adapter", "several nodes are one server by Cluster or NATS: docs/cluster.md"},
	{"SOKETI_ADAPTER_", "several nodes are one server by Cluster or NATS: docs/cluster.md"},
	{"cluster", "nodes find each other by Cluster or NATS: docs/cluster.md"},
	{"SOKETI_CLUSTER_", "nodes find each other by Cluster or NATS: docs/cluster.md"},
	{"appManager", "applications are in the file, which rocket reload reads again"},
	{"SOKETI_APP_MANAGER_", "applications are in the file, which rocket reload reads again"},
	{"database", "there is no database"},
	{"SOKETI_DB_", "there is no database"},
	{"cache", "what cache channels keep is in memory"},
	{"SOKETI_CACHE_", "what cache channels keep is in memory"},
	{"queue", "events for webhooks wait in memory: MaxQueued of a webhook"},
	{"SOKETI_QUEUE_", "events for webhooks wait in memory: MaxQueued of a webhook"},
	{"rateLimiter", "rates are counted in memory, per connection"},
	{"SOKETI_RATE_LIMITER_", "rates are counted in memory, per connection"},
	{"cors", "pages do not call the HTTP API; Origins says which of them may connect"},
	{"SOKETI_CORS_", "pages do not call the HTTP API; Origins says which of them may connect"},
	{"metrics", "metrics are at /metrics of the admin port, 127.0.0.1:9773: docs/operations.md"},
	{"SOKETI_METRICS_", "metrics are at /metrics of the admin port, 127.0.0.1:9773: docs/operations.md"},
	{"httpApi", "the size of a request follows from MaxBatch and MaxEventData; MemoryLimit and /readyz are for full memory"},
	{"SOKETI_HTTP_", "MemoryLimit and /readyz of the admin port are for full memory"},
	{"shutdownGracePeriod", "Drain is how long connections have when the server stops"},
	{"SOKETI_SHUTDOWN_GRACE_PERIOD", "Drain is how long connections have when the server stops"},
	{"ssl.passphrase", "a key with a passphrase cannot be read: openssl pkey -in old.pem -out new.pem"},
	{"ssl.caPath", "put the chain into the file of the certificate"},
	{"instance", ""},
	{"mode", ""},
}

// soketiVariables are the options that variables set, without SOKETI_.
var soketiVariables = map[string]string{
	"APP_MANAGER_DRIVER":                     "appManager.driver",
	"CHANNEL_LIMITS_MAX_NAME_LENGTH":         "channelLimits.maxNameLength",
	"CHANNEL_CACHE_TTL":                      "channelLimits.cacheTtl",
	"DEBUG":                                  "debug",
	"DEFAULT_APP_ID":                         "appManager.array.apps.0.id",
	"DEFAULT_APP_KEY":                        "appManager.array.apps.0.key",
	"DEFAULT_APP_SECRET":                     "appManager.array.apps.0.secret",
	"DEFAULT_APP_MAX_CONNS":                  "appManager.array.apps.0.maxConnections",
	"DEFAULT_APP_ENABLE_CLIENT_MESSAGES":     "appManager.array.apps.0.enableClientMessages",
	"DEFAULT_APP_ENABLED":                    "appManager.array.apps.0.enabled",
	"DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC": "appManager.array.apps.0.maxBackendEventsPerSecond",
	"DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC":  "appManager.array.apps.0.maxClientEventsPerSecond",
	"DEFAULT_APP_MAX_READ_REQ_PER_SEC":       "appManager.array.apps.0.maxReadRequestsPerSecond",
	"DEFAULT_APP_USER_AUTHENTICATION":        "appManager.array.apps.0.enableUserAuthentication",
	"DEFAULT_APP_WEBHOOKS":                   "appManager.array.apps.0.webhooks",
	"EVENT_MAX_BATCH_SIZE":                   "eventLimits.maxBatchSize",
	"EVENT_MAX_CHANNELS_AT_ONCE":             "eventLimits.maxChannelsAtOnce",
	"EVENT_MAX_NAME_LENGTH":                  "eventLimits.maxNameLength",
	"EVENT_MAX_SIZE_IN_KB":                   "eventLimits.maxPayloadInKb",
	"HOST":                                   "host",
	"PORT":                                   "port",
	"PATH_PREFIX":                            "pathPrefix",
	"PRESENCE_MAX_MEMBER_SIZE":               "presence.maxMemberSizeInKb",
	"PRESENCE_MAX_MEMBERS":                   "presence.maxMembersPerChannel",
	"SSL_CERT":                               "ssl.certPath",
	"SSL_KEY":                                "ssl.keyPath",
	"SSL_PASS":                               "ssl.passphrase",
	"SSL_CA":                                 "ssl.caPath",
	"USER_AUTHENTICATION_TIMEOUT":            "userAuthenticationTimeout",
	"WEBHOOKS_BATCHING":                      "webhooks.batching.enabled",
	"WEBHOOKS_BATCHING_DURATION":             "webhooks.batching.duration",
}

// soketiSame are options with values that are Rocket's way too.
var soketiSame = map[string]string{
	"adapter.driver": "local", "appManager.driver": "array", "cache.driver": "memory", "queue.driver": "sync",
	"rateLimiter.driver": "local", "metrics.enabled": "false", "appManager.cache.enabled": "false",
}

// importSoketi reads the configuration of soketi 1.6.
func importSoketi(im *importing) error {
	im.known = soketiLeftOut
	if err := im.readSoketi(); err != nil {
		return err
	}
	for name, value := range soketiSame {
		if im.given[name] == value {
			delete(im.given, name)
		}
	}
	if driver, ok := im.take("appManager.driver"); ok {
		return fmt.Errorf("appManager.driver is %s: the applications are in a database; write them into appManager.array.apps of a copy, and import that", driver)
	}
	im.server.add("Host", im.or("host", "0.0.0.0"))
	im.server.add("Port", int(im.number("port", 6001)))
	if cert, ok := im.take("ssl.certPath"); ok {
		im.server.add("TLSCertFile", cert)
	}
	if key, ok := im.take("ssl.keyPath"); ok {
		im.server.add("TLSKeyFile", key)
	}
	if prefix, ok := im.take("pathPrefix"); ok {
		im.server.add("AppsPrefix", strings.TrimSuffix(prefix, "/"))
	}
	if im.on("debug") {
		im.server.add("LogLevel", "debug")
	}
	all := soketiDefaults(im)
	for i := range im.soketiApps() {
		all.app(im, fmt.Sprintf("appManager.array.apps.%d.", i))
	}
	if all.longest > 64<<10 {
		im.server.add("MaxMessageSize", all.longest)
	}
	return nil
}

// readSoketi reads a file of JSON or of variables into options by their paths.
func (im *importing) readSoketi() error {
	im.given = map[string]string{}
	if text := bytes.TrimSpace(bytes.TrimPrefix(im.data, []byte("\ufeff"))); bytes.HasPrefix(text, []byte("{")) {
		if found := checkSyntax(im.file, im.data); found != nil {
			return errors.New(found[0].what)
		}
		im.flatten("", decodeAny(text))
		return nil
	}
	if err := im.readEnv(); err != nil {
		return err
	}
	vars := im.given
	im.given = map[string]string{}
	for name, text := range vars {
		rest, ok := strings.CutPrefix(name, "SOKETI_")
		if !ok {
			continue // of another program
		}
		if path, ok := soketiVariables[rest]; ok {
			im.flatten(path, text)
		} else {
			im.given[name] = text
		}
	}
	if len(im.given) == 0 {
		return errors.New("it is neither JSON nor has variables that begin with SOKETI_")
	}
	return nil
}

// decodeAny decodes JSON that is valid, with numbers as they are written.
func decodeAny(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	_ = d.Decode(&v)
	return v
}

// flatten notes an option, and those inside it by their paths. A key may be a path
// itself. Lists of webhooks may stand in a string.
func (im *importing) flatten(path string, v any) {
	under := func(key string) string { return strings.TrimPrefix(path+"."+key, ".") }
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for key, inner := range v {
			im.flatten(under(key), inner)
		}
	case []any:
		for i, inner := range v {
			im.flatten(under(strconv.Itoa(i)), inner)
		}
	case string:
		if list := []byte(v); strings.HasSuffix(path, ".webhooks") && json.Valid(list) {
			im.flatten(path, decodeAny(list))
			return
		}
		im.given[path] = v
	default:
		im.given[path] = fmt.Sprint(v)
	}
}

// soketiApps returns how many applications there are: without one soketi has its own.
func (im *importing) soketiApps() int {
	n := im.count("appManager.array.apps.")
	if n == 0 {
		im.note(`no application is given; soketi then has app-id with the key app-key and the secret app-secret, which everybody knows`)
	}
	return max(n, 1)
}

// count returns how many items a list has.
func (im *importing) count(prefix string) int {
	n := 0
	for name := range im.given {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			first, _, _ := strings.Cut(rest, ".")
			if i, err := strconv.Atoi(first); err == nil {
				n = max(n, i+1)
			}
		}
	}
	return n
}

// soketi are the options for all applications, in the units of soketi.
type soketi struct {
	name, event, channels, batch float64
	dataKB                       float64
	members, memberKB            float64
	cacheTTL, timeout            float64 // seconds, milliseconds
	hookBatch                    float64 // milliseconds, 0 for none
	longest                      int     // message that a client may have to send, bytes
}

func soketiDefaults(im *importing) *soketi {
	s := &soketi{
		name:     im.number("channelLimits.maxNameLength", 200),
		event:    im.number("eventLimits.maxNameLength", 200),
		channels: im.number("eventLimits.maxChannelsAtOnce", 100),
		batch:    im.number("eventLimits.maxBatchSize", 10),
		dataKB:   im.number("eventLimits.maxPayloadInKb", 100),
		members:  im.number("presence.maxMembersPerChannel", 100),
		memberKB: im.number("presence.maxMemberSizeInKb", 2),
		cacheTTL: im.number("channelLimits.cacheTtl", 3600),
		timeout:  im.number("userAuthenticationTimeout", 30_000),
	}
	duration := im.number("webhooks.batching.duration", 50)
	if im.on("webhooks.batching.enabled") {
		s.hookBatch = duration
	}
	return s
}

// app adds the application whose options begin with prefix.
func (s *soketi) app(im *importing, prefix string) {
	var a members
	id := im.or(prefix+"id", "app-id")
	a.add("ID", id)
	a.add("Keys", []any{members{{"Key", im.or(prefix+"key", "app-key")}, {"Secret", im.or(prefix+"secret", "app-secret")}}})
	if !isOn(im.or(prefix+"enabled", "true")) {
		a.add("Enabled", "off")
	}
	if n := im.number(prefix+"maxConnections", -1); n > 0 {
		a.add("MaxConnections", int(n))
	}
	data := im.number(prefix+"maxEventPayloadInKb", s.dataKB)
	if im.on(prefix + "enableClientMessages") {
		s.longest = max(s.longest, int(2*data*1024)+4096)
		if n := im.number(prefix+"maxClientEventsPerSecond", -1); n > 0 {
			a.addUnless("ClientEventRate", int(n), pusher.DefaultClientEventRate)
		} else {
			im.note("%s: soketi takes any number of client events, Rocket %d of a connection in a second: ClientEventRate", id, pusher.DefaultClientEventRate)
		}
	} else {
		a.add("ClientEvents", "off")
		im.take(prefix + "maxClientEventsPerSecond")
	}
	s.rates(im, &a, id, prefix)
	if im.on(prefix + "enableUserAuthentication") {
		a.add("AuthorizedOnly", "on")
		a.addUnless("AuthorizeTimeout", fmt.Sprintf("%dms", int(s.timeout)), "30000ms")
	}
	a.addUnless("CacheTTL", fmt.Sprintf("%ds", int(s.cacheTTL)), "1800s")
	a.addUnless("MaxChannelName", int(im.number(prefix+"maxChannelNameLength", s.name)), pusher.DefaultMaxChannelName)
	a.addUnless("MaxEventName", int(im.number(prefix+"maxEventNameLength", s.event)), pusher.DefaultMaxEventName)
	a.addUnless("MaxEventData", kilobytes(data), "10KB")
	a.addUnless("MaxEventChannels", int(im.number(prefix+"maxEventChannelsAtOnce", s.channels)), pusher.DefaultMaxEventChannels)
	a.addUnless("MaxBatch", int(im.number(prefix+"maxEventBatchSize", s.batch)), pusher.DefaultMaxBatch)
	a.addUnless("MaxMembers", int(im.number(prefix+"maxPresenceMembersPerChannel", s.members)), pusher.DefaultMaxMembers)
	a.addUnless("MaxMemberInfo", kilobytes(im.number(prefix+"maxPresenceMemberSizeInKb", s.memberKB)), "1KB")
	if hooks := s.webhooks(im, prefix+"webhooks."); hooks != nil {
		a.add("Webhooks", hooks)
	}
	im.apps.add(id, a)
}

// rates adds the rate of the HTTP API, which is one for all requests.
func (s *soketi) rates(im *importing, a *members, id, prefix string) {
	events, reads := im.number(prefix+"maxBackendEventsPerSecond", -1), im.number(prefix+"maxReadRequestsPerSecond", -1)
	switch {
	case events > 0 && reads > 0:
		a.add("RequestRate", int(events+reads))
		im.note("%s: maxBackendEventsPerSecond and maxReadRequestsPerSecond are one RequestRate, for requests of all kinds", id)
	case events > 0 || reads > 0:
		im.note("%s: maxBackendEventsPerSecond or maxReadRequestsPerSecond is left out: RequestRate would be for requests of both kinds", id)
	}
}

// webhooks returns those whose options begin with prefix.
func (s *soketi) webhooks(im *importing, prefix string) (all []any) {
	for i := range im.count(prefix) {
		at := fmt.Sprintf("%s%d.", prefix, i)
		url, ok := im.take(at + "url")
		events := im.events(at + "event_types.")
		switch {
		case !ok:
			im.note("%slambda_function: there are no webhooks by AWS Lambda; give a URL", at)
			im.drop(at)
			continue
		case events == nil:
			im.note("%sevent_types: none, so soketi tells it nothing; it is left out", at)
			im.drop(at)
			continue
		}
		hook := members{{"URL", url}, {"Events", events}}
		if text, ok := im.take(at + "filter.channel_name_starts_with"); ok {
			hook.add("Prefix", text)
		}
		if text, ok := im.take(at + "filter.channel_name_ends_with"); ok {
			hook.add("Suffix", text)
		}
		if header := im.headers(at + "headers."); header != nil {
			hook.add("Header", header)
		}
		if s.hookBatch > 0 {
			hook.add("Batch", fmt.Sprintf("%dms", int(s.hookBatch)))
		}
		all = append(all, hook)
	}
	return all
}

// events returns the names of what a webhook is told.
func (im *importing) events(prefix string) (all []any) {
	for i := range im.count(prefix) {
		name, ok := im.take(prefix + strconv.Itoa(i))
		switch {
		case !ok:
		case slices.Contains(pusher.HookEvents, name):
			all = append(all, name)
		default:
			im.note("%s%d: there is no event %s", prefix, i, name)
		}
	}
	return all
}

// headers returns the options that begin with prefix, by the rest of their names.
func (im *importing) headers(prefix string) (all members) {
	for _, name := range slices.Sorted(maps.Keys(im.given)) {
		if field, ok := strings.CutPrefix(name, prefix); ok {
			text, _ := im.take(name)
			all.add(field, text)
		}
	}
	return all
}

// drop forgets the options that begin with prefix, of which a note says enough.
func (im *importing) drop(prefix string) {
	for name := range im.given {
		if strings.HasPrefix(name, prefix) {
			delete(im.given, name)
		}
	}
}
