package bench

// Check counts what was wrong with deliveries. Its zero value says that all is well.
type Check struct {
	Delivered  int64 `json:"delivered"`
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	OutOfOrder int64 `json:"outOfOrder"`
	Astray     int64 `json:"astray"`    // of a channel to which the receiver is not subscribed
	Corrupted  int64 `json:"corrupted"` // not the bytes that were published
	Refused    int64 `json:"refused"`   // publishes answered by an error
	Unanswered int64 `json:"unanswered"`
}

// Good reports whether every delivery was right.
func (c Check) Good() bool { return c.wrong() == 0 }

func (c Check) wrong() int64 {
	return c.Lost + c.Duplicated + c.OutOfOrder + c.Astray + c.Corrupted + c.Refused + c.Unanswered
}

func (c *Check) add(d Check) {
	c.Delivered += d.Delivered
	c.Lost += d.Lost
	c.Duplicated += d.Duplicated
	c.OutOfOrder += d.OutOfOrder
	c.Astray += d.Astray
	c.Corrupted += d.Corrupted
	c.Refused += d.Refused
	c.Unanswered += d.Unanswered
}

// span is the numbers from..to-1 of a stream.
type span struct{ from, to uint32 }

// verifier follows streams at receivers. A cell is one stream at one receiver. Numbers start at 1; every cell expects
// the number after the one it saw last.
//
// A number that is skipped is missing until it comes late (then it is out of order) or the run ends (then it is lost).
// A number that comes and is not missing is a duplicate.
type verifier struct {
	next    []uint32 // per cell; 0: the receiver joins, and takes any number for the first
	floor   []uint32 // per cell that joined: what was sent by then, so what follows must come
	missing map[uint32][]span
	Check
}

const floorUnknown = ^uint32(0)

// newCells adds n cells that expect 1 and returns the first.
func (v *verifier) newCells(n int) uint32 {
	first := len(v.next)
	for range n {
		v.next = append(v.next, 1)
		v.floor = append(v.floor, 0)
	}
	return uint32(first)
}

// join makes a cell accept any number for the first.
func (v *verifier) join(cell uint32) {
	v.next[cell], v.floor[cell] = 0, floorUnknown
	delete(v.missing, cell)
}

// joined says that whatever is sent after number sent has to come.
func (v *verifier) joined(cell, sent uint32) {
	if v.next[cell] == 0 {
		v.floor[cell] = sent
	}
}

// see takes number seq at a cell. It is fresh unless it was there before; skipped is how many numbers before it are
// missing because of it.
func (v *verifier) see(cell, seq uint32) (fresh bool, skipped uint32) {
	next := v.next[cell]
	switch {
	case next == seq && seq != 0:
		v.next[cell]++
		v.Delivered++
		return true, 0
	case next == 0:
		return v.seeFirst(cell, seq), 0
	case seq > next:
		v.skip(cell, span{next, seq})
		v.next[cell] = seq + 1
		v.Delivered++
		return true, seq - next
	case v.takeMissing(cell, seq):
		v.OutOfOrder++
		v.Delivered++
		return true, 0
	}
	v.Duplicated++
	return false, 0
}

func (v *verifier) seeFirst(cell, seq uint32) bool {
	if floor := v.floor[cell]; floor != floorUnknown && seq > floor+1 {
		v.skip(cell, span{floor + 1, seq})
	}
	v.next[cell] = seq + 1
	v.Delivered++
	return true
}

func (v *verifier) skip(cell uint32, s span) {
	if v.missing == nil {
		v.missing = map[uint32][]span{}
	}
	v.missing[cell] = append(v.missing[cell], s)
}

func (v *verifier) takeMissing(cell, seq uint32) bool {
	spans := v.missing[cell]
	for i, s := range spans {
		if seq < s.from || seq >= s.to {
			continue
		}
		spans[i].to = seq
		if seq+1 < s.to {
			spans = append(spans, span{seq + 1, s.to})
		}
		v.missing[cell] = spans
		return true
	}
	return false
}

// owed is how many numbers up to sent a cell has not seen.
func (v *verifier) owed(cell, sent uint32) int64 {
	var n int64
	switch next, floor := v.next[cell], v.floor[cell]; {
	case next > 0:
		n = int64(sent) + 1 - int64(next)
	case floor != floorUnknown:
		n = int64(sent) - int64(floor)
	}
	for _, s := range v.missing[cell] {
		n += int64(s.to - s.from)
	}
	return max(n, 0)
}

// left is what is missing at a cell whose receiver leaves: only numbers that others overtook.
func (v *verifier) left(cell uint32) {
	for _, s := range v.missing[cell] {
		v.Lost += int64(s.to - s.from)
	}
	delete(v.missing, cell)
	v.next[cell], v.floor[cell] = 0, floorUnknown
}
