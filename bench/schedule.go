package bench

// schedule says when the n-th event of a steady rate is due. Times are nanoseconds of the run's clock. An event that
// could not happen in time keeps its time: that is what latency is counted from.
type schedule struct {
	start int64
	every float64 // nanoseconds; 0: never
	n     int64   // events that have happened
}

func newSchedule(start int64, perSecond float64) schedule {
	if perSecond <= 0 {
		return schedule{}
	}
	return schedule{start: start, every: 1e9 / perSecond}
}

// at is when the next event is due. It does not add up intervals, so it does not drift.
func (s *schedule) at() int64 { return s.start + int64(float64(s.n)*s.every) }

// take reports whether an event is due at now, and its time.
func (s *schedule) take(now int64) (int64, bool) {
	if s.every == 0 {
		return 0, false
	}
	at := s.at()
	if at > now {
		return 0, false
	}
	s.n++
	return at, true
}

// wait is the time until the next event, at most most.
func (s *schedule) wait(now, most int64) int64 {
	if s.every == 0 {
		return most
	}
	return min(max(s.at()-now, 0), most)
}
