package bench

import "slices"

// PeerRatio is a metric of one run divided by the best peer's median in the same set.
type PeerRatio struct {
	Peer  string  `json:"peer"`
	Ratio float64 `json:"ratio"`
}

// compareToPeers gives each result of the column ours its ratios to the best peer: for each metric that can be better
// or worse, the other column with the best median in the same entry.
func compareToPeers(results []*Result, ours string) {
	columns := ByDialect(results)
	i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == ours })
	if i < 0 {
		return
	}
	for _, r := range columns[i].Results {
		for _, m := range metrics {
			v, ok := m.of(r)
			if !ok || !m.compares(r) {
				continue
			}
			peer, best, ok := bestPeer(columns, ours, r.Label, m)
			if !ok || best == 0 {
				continue
			}
			if r.ToBestPeer == nil {
				r.ToBestPeer = map[string]PeerRatio{}
			}
			r.ToBestPeer[m.name] = PeerRatio{Peer: peer, Ratio: v / best}
		}
	}
}

// bestPeer leaves out runs with wrong deliveries and those that did less than ours: losing messages is cheap.
func bestPeer(columns []Column, ours, label string, m metric) (peer string, best float64, ok bool) {
	for _, c := range columns {
		if c.Name == ours {
			continue
		}
		var values []float64
		for _, r := range c.labelled(label) {
			if v, has := m.of(r); has && r.Good() && !r.Interrupted && r.Lacks == "" {
				values = append(values, v)
			}
		}
		if v := median(values); len(values) > 0 && (!ok || v < best == (m.better == lower)) {
			peer, best, ok = c.Name, v, true
		}
	}
	return peer, best, ok
}

// compares tells whether the metric says how good a run is. In an open loop the rate is given.
func (m *metric) compares(r *Result) bool {
	return m.better != neither && (m.name != metricRate || r.Options.Saturate > 0)
}

// toBestPeer is what a table shows of a column's ratios; the peer is the same in all runs of a label.
func (c *Column) toBestPeer(label string, m metric) string {
	var peer string
	var values []float64
	for _, r := range c.labelled(label) {
		if p, ok := r.ToBestPeer[m.name]; ok {
			peer, values = p.Peer, append(values, p.Ratio)
		}
	}
	if len(values) == 0 {
		return ""
	}
	return short(median(values)) + " × " + peer
}

// hasPeers tells whether any result has ratios.
func (c *Column) hasPeers() bool {
	return slices.ContainsFunc(c.Results, func(r *Result) bool { return len(r.ToBestPeer) > 0 })
}
