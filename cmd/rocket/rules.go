package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nu7hatch/webrocket"
	rules "github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/presence"
)

// ruleList is the list of a hub's channel rules.
func ruleList(p *[]webrocket.Rule) value {
	return value{get: func() any { return *p }, objects: func(n *node) problems {
		items, ok := n.value.([]*node)
		if !ok {
			return problems{n.problem(`want a list of rules such as [{"Match": "chat:*"}], not %s`, n.show())}
		}
		*p = make([]webrocket.Rule, len(items))
		var found problems
		for i, item := range items {
			found = append(found, readRule(&(*p)[i], item)...)
		}
		return found
	}}
}

// readRule fills a rule from an object of the file.
func readRule(r *webrocket.Rule, n *node) problems {
	match := text(&r.Match, `a pattern such as "chat:*"`, rules.CheckMatch)
	fields := []field{
		{"Match", match.fromNode},
		{"History", func(n *node) problems {
			return fill(n, []field{
				{"Size", integer(&r.History.Size, 1, rules.MaxHistorySize).fromNode},
				{"TTL", durationWithin(&r.History.TTL, time.Second, rules.MaxHistoryTTL).fromNode},
				{"Bytes", size(&r.History.Bytes, 1, 0).fromNode},
			})
		}},
		{"Rewind", integer(&r.Rewind, 1, rules.MaxHistorySize).fromNode},
		{"Force", boolean(&r.Force).fromNode},
		{"Presence", func(n *node) problems {
			found := fill(n, []field{
				{"Mode", presenceMode(&r.Presence.Mode).fromNode},
				{"Interval", durationWithin(&r.Presence.Interval, presence.MinInterval, presence.MaxInterval).fromNode},
				{"LeaveAfter", durationWithin(&r.Presence.LeaveAfter, time.Millisecond, presence.MaxLeaveAfter).fromNode},
				{"MaxListed", integer(&r.Presence.MaxListed, 1, presence.MaxMembersListed).fromNode},
				{"MaxMembers", integer(&r.Presence.MaxMembers, 1, presence.MaxMembersListed).fromNode},
			})
			if len(found) == 0 && r.Presence == (webrocket.Presence{}) {
				found = problems{n.problem(`Presence needs a Mode: "clients" or "users"`)}
			}
			return found
		}},
		{"Subscribe", right(&r.Subscribe).fromNode},
		{"Publish", right(&r.Publish).fromNode},
		{"ReadHistory", right(&r.ReadHistory).fromNode},
		{"ReadPresence", right(&r.ReadPresence).fromNode},
	}
	found := fill(n, fields)
	if len(found) > 0 {
		return found
	}
	if err := r.Check(); err != nil {
		return problems{n.problem("%v", err)}
	}
	return nil
}

// right is the name of a right.
func right(p *webrocket.Right) value {
	return meaning(p, func(word string) webrocket.Right { return rules.Rights[word] }, "grant", "owner", "user", "nobody")
}

// presenceMode is the name of a mode of presence.
func presenceMode(p *presence.Mode) value {
	return meaning(p, func(word string) presence.Mode { return presence.Modes[word] }, "clients", "users")
}

// durationWithin is a time from least to most.
func durationWithin(p *time.Duration, least, most time.Duration) value {
	v := duration(p)
	v.want = fmt.Sprintf(`a duration from %v to %v such as "10m"`, brief(least), brief(most))
	set := v.set
	v.set = func(s string) error {
		if err := set(s); err != nil {
			return err
		}
		if *p < least || *p > most {
			return errWant
		}
		return nil
	}
	return v
}

// brief is a duration without zero minutes and seconds.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// question is a channel of which rocket check says what the rules are.
type question struct{ hub, channel, user string }

// answer prints which rule counts for the channel, and who may do what.
func (q *question) answer(w io.Writer, c *config) error {
	if q.channel == "" {
		return usageError("-user and -hub say something of a channel; give -channel too")
	}
	for _, h := range c.hubs {
		for _, path := range h.paths() {
			if path == q.hub && h.codec != codecEcho {
				return q.print(w, h)
			}
		}
	}
	return usageError(fmt.Sprintf("-hub %s: there is no hub with channels at that path", q.hub))
}

func (q *question) print(w io.Writer, h hub) error {
	if len(q.channel) > h.MaxChannelName || checkChannel(q.channel) != nil {
		return usageError(fmt.Sprintf("-channel %q: want a channel name of 1 to %d bytes without control characters", q.channel, h.MaxChannelName))
	}
	ruling := h.Ruling(q.channel, q.user)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  channel\t%s\n", q.channel)
	if ruling.Rule < 0 {
		fmt.Fprintf(t, "  rule\tnone matches\n")
	} else {
		fmt.Fprintf(t, "  rule\t%d: %s\n", ruling.Rule+1, h.Rules[ruling.Rule].Match)
	}
	kept := "none"
	if k := ruling.History; k.Size > 0 {
		kept = fmt.Sprintf("%d events for %s, at most %d bytes", k.Size, brief(k.TTL), k.Bytes)
	}
	fmt.Fprintf(t, "  history\t%s\n", kept)
	rewind := "none"
	if ruling.Rewind > 0 {
		rewind = fmt.Sprintf("%d events", ruling.Rewind)
	}
	fmt.Fprintf(t, "  rewind\t%s\n", rewind)
	if ruling.Rule >= 0 && h.Rules[ruling.Rule].Force {
		fmt.Fprintf(t, "  force\t%s is subscribed at login\n", ruling.Owner)
	}
	fmt.Fprintf(t, "  presence\t%s\n", presenceIn(ruling.Presence))
	for _, v := range []struct {
		what, secret string
		rules.Verdict
	}{
		{"subscribe", "for reading", ruling.Subscribe},
		{"publish", "for publishing", ruling.Publish},
		{"read history", "for reading", ruling.ReadHistory},
		{"read presence", "for reading", ruling.ReadPresence},
	} {
		fmt.Fprintf(t, "  %s\t%v: %s\n", v.what, v.Right, q.verdict(v.Verdict, v.secret))
	}
	for _, k := range h.keys {
		if k.Opens(q.channel) {
			fmt.Fprintf(t, "  key %s\tby HTTP: %s\n", k.Name, strings.Join(k.May, ", "))
		}
	}
	return t.Flush()
}

// presenceIn says what others see of who is in a channel.
func presenceIn(p webrocket.Presence) string {
	if p.Mode == webrocket.PresenceOff {
		return "none"
	}
	text := fmt.Sprintf("%v, up to %d listed; notices at most every %v, with names up to %d", p.Mode, p.MaxMembers, p.Interval, p.MaxListed)
	if p.LeaveAfter > 0 {
		text += fmt.Sprintf("; a user leaves after %v", brief(p.LeaveAfter))
	}
	return text
}

// verdict says who may do something.
func (q *question) verdict(v rules.Verdict, secret string) string {
	switch {
	case v.Right == webrocket.Nobody:
		return "no client"
	case v.Allowed:
		return fmt.Sprintf("the user %s, and who has logged in %s", q.user, secret)
	case q.user != "":
		return fmt.Sprintf("who has logged in %s; not the user %s without that", secret, q.user)
	case v.Right == webrocket.Owner:
		return "the owner, and who has logged in " + secret
	case v.Right == webrocket.Users:
		return "every user, and who has logged in " + secret
	}
	return "who has logged in " + secret
}
