package pubsub

// A subscription is a subscriber's place in an audience.
type subscription struct {
	audience *audience
	index    int
}

// subscriptions is a list whose first entry takes no memory of its own: most connections
// have one subscription, and there may be millions.
type subscriptions struct {
	first subscription    // without an audience if the list is empty
	more  *[]subscription // behind the first, nil before there is a second
}

func (l *subscriptions) len() int {
	switch {
	case l.first.audience == nil:
		return 0
	case l.more == nil:
		return 1
	}
	return 1 + len(*l.more)
}

// at returns the entry at position i. It is valid until the list changes.
func (l *subscriptions) at(i int) *subscription {
	if i == 0 {
		return &l.first
	}
	return &(*l.more)[i-1]
}

// add puts an entry at the end.
func (l *subscriptions) add(s subscription) {
	if l.first.audience == nil {
		l.first = s
		return
	}
	if l.more == nil {
		l.more = new([]subscription)
	}
	*l.more = append(*l.more, s)
}

// remove removes the entry at position i. The last one takes its place.
func (l *subscriptions) remove(i int) {
	last := l.at(l.len() - 1)
	*l.at(i) = *last
	*last = subscription{}
	if l.more != nil && len(*l.more) > 0 {
		*l.more = (*l.more)[:len(*l.more)-1]
	}
}
