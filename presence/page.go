package presence

import "math"

// A Page is a part of the list of a channel.
type Page struct {
	Counts
	Members []Entry // by At
	More    bool    // there are more behind the last one
}

// maxPageSize is how many bytes of entries a page has at most, beside the first.
const maxPageSize = 256 << 10

// Page returns the first members of a channel that joined after a version, limit of
// them at most, of so many bytes beside the first, 256 KiB at most and for 0. Of a channel that nobody is in it has the last version, or a later one.
func (t *Table) Page(channel string, after uint64, limit, size int) Page {
	st := t.stripe(channel)
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.sets[channel]
	if s == nil {
		return Page{Counts: Counts{Version: st.floor}}
	}
	p := Page{Counts: s.counts()}
	end := s.front
	if end == 0 {
		end = math.MaxUint64
	}
	if after == math.MaxUint64 {
		return p
	}
	if size <= 0 {
		size = maxPageSize
	}
	left := min(size, maxPageSize)
	for _, place := range s.order[s.search(after+1):] {
		switch {
		case place.at >= end:
			return p
		case place.member == nil:
		case len(p.Members) == limit:
			p.More = true
			return p
		default:
			e := s.entry(place.member)
			if left -= e.size(); left < 0 && len(p.Members) > 0 {
				p.More = true
				return p
			}
			p.Members = append(p.Members, e)
		}
	}
	return p
}
