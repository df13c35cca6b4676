package bench

// A plan says which client subscribes to what, and which publishes where. Scenarios make plans; workers carry them out.
type plan struct {
	groups   []group
	channels int32
	streams  []streamPlan // those of one channel stand together
	conns    []connPlan
	first    []int32 // per channel: its first stream; one more at the end
}

// group is connections and streams that are loaded and measured together.
type group struct {
	name     string
	rate     float64 // publishes per second over all streams; 0: closed loop or none
	inFlight int     // publishes per stream that may be unfinished; 0: open loop or none
	arrivals bool    // keep the latency of every delivery per publish
}

type streamPlan struct {
	channel int32
	group   uint8
	conn    int32
}

// role is what a connection is there for.
type role uint8

const (
	steady  role = iota
	stalled      // does not read once it is subscribed
	churner      // comes and goes
)

type connPlan struct {
	channel int32 // to which it subscribes; none: -1
	group   uint8
	role    role
	streams []int32
}

const none = -1

// subscribe adds a connection that subscribes to a channel and returns its number.
func (p *plan) subscribe(channel int32, group uint8, r role) int32 {
	p.conns = append(p.conns, connPlan{channel: channel, group: group, role: r})
	return int32(len(p.conns) - 1)
}

// publish makes connection conn a publisher of channel. Channels must come in ascending order.
func (p *plan) publish(channel int32, group uint8, conn int32) {
	p.conns[conn].streams = append(p.conns[conn].streams, int32(len(p.streams)))
	p.streams = append(p.streams, streamPlan{channel: channel, group: group, conn: conn})
}

// publishers adds n connections that only publish.
func (p *plan) publishers(n int, group uint8) []int32 {
	var conns []int32
	for range n {
		conns = append(conns, p.subscribe(none, group, steady))
	}
	return conns
}

// seal is called when all is added.
func (p *plan) seal() *plan {
	p.first = make([]int32, p.channels+1)
	for _, s := range p.streams {
		p.first[s.channel+1]++
	}
	for i := range p.channels {
		p.first[i+1] += p.first[i]
	}
	return p
}

// receivers is how many steady connections take each stream, over all connections for which own is true.
func (p *plan) receivers(own func(conn int32) bool) []int32 {
	perChannel := make([]int32, p.channels)
	for i, c := range p.conns {
		if c.channel != none && c.role == steady && own(int32(i)) {
			perChannel[c.channel]++
		}
	}
	perStream := make([]int32, len(p.streams))
	for i, s := range p.streams {
		perStream[i] = perChannel[s.channel]
	}
	return perStream
}

// streamsIn is how many streams a group has.
func (p *plan) streamsIn(group int) int {
	n := 0
	for _, s := range p.streams {
		if int(s.group) == group {
			n++
		}
	}
	return n
}

// spread subscribes conns connections to the channels in turn, and gives each channel's publishing to the publishers in
// turn: if there are more publishers than channels, a channel has several.
func spread(g group, conns, channels, publishers int) *plan {
	p := &plan{groups: []group{g}, channels: int32(channels)}
	for i := range conns {
		p.subscribe(int32(i%channels), 0, steady)
	}
	p.publishInTurn(p.publishers(publishers, 0), channels)
	return p
}

func (p *plan) publishInTurn(publishers []int32, channels int) {
	for c := range channels {
		p.publish(int32(c), 0, publishers[c%len(publishers)])
		for i := c + channels; i < len(publishers); i += channels {
			p.publish(int32(c), 0, publishers[i])
		}
	}
}
