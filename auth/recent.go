package auth

// recent keeps the values that were used last: at least size/2 of them, at most size. Of
// its two halves the older is dropped when the newer is full. The zero value keeps none.
type recent[K comparable, V any] struct {
	size     int
	now, old map[K]V
}

func (r *recent[K, V]) get(k K) (V, bool) {
	if v, ok := r.now[k]; ok {
		return v, true
	}
	v, ok := r.old[k]
	if ok {
		r.put(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if r.size < 2 {
		return
	}
	if r.now == nil || len(r.now) >= r.size/2 {
		r.now, r.old = make(map[K]V), r.now
	}
	r.now[k] = v
}
