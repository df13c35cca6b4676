package engine

// bitset has one bit for each slot. The bits of 19,000 slots are 2.4 KB.
type bitset []uint64

func (s bitset) has(i uint32) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s bitset) set(i uint32, v bool) {
	if v {
		s[i/64] |= 1 << (i % 64)
	} else {
		s[i/64] &^= 1 << (i % 64)
	}
}

// grow makes room for n bits.
func (s *bitset) grow(n int) {
	for len(*s)*64 < n {
		*s = append(*s, 0)
	}
}
