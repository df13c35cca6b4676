package codec

import "slices"

// farthest returns the longest distance that a DEFLATE stream without its tail
// goes back (RFC 1951): a decoder with a smaller window could not follow. No
// decoder in Go tells it.
func farthest(packed []byte) int {
	r := &bitReader{b: append(slices.Clone(packed), syncTail+lastBlock...)}
	for last := 0; last == 0; {
		last = r.bits(1)
		switch r.bits(2) {
		case 0:
			r.n = (r.n + 7) &^ 7
			n := r.bits(16)
			r.n += 16 + 8*n
		case 1:
			r.block(fixedCodes())
		case 2:
			r.block(r.codes())
		}
	}
	return r.far
}

// bitReader reads the bits of a valid stream.
type bitReader struct {
	b   []byte
	n   int // bits read
	far int
}

func (r *bitReader) bits(n int) (v int) {
	for i := range n {
		v |= int(r.b[r.n/8]>>(r.n%8)&1) << i
		r.n++
	}
	return v
}

// A huffman code maps lengths and codes to symbols (§3.2.2).
type huffman map[[2]int]int

func newHuffman(lengths []int) huffman {
	h := huffman{}
	code := 0
	for n := 1; n < 16; n++ {
		for symbol, l := range lengths {
			if l == n {
				h[[2]int{n, code}] = symbol
				code++
			}
		}
		code <<= 1
	}
	return h
}

func (r *bitReader) symbol(h huffman) int {
	code := 0
	for n := 1; n < 16; n++ {
		code = code<<1 | r.bits(1)
		if s, ok := h[[2]int{n, code}]; ok {
			return s
		}
	}
	panic("no symbol")
}

// block reads the symbols of one block (§3.2.5).
func (r *bitReader) block(literals, distances huffman) {
	for {
		switch s := r.symbol(literals); {
		case s == 256:
			return
		case s > 256:
			extra := 0
			if s >= 265 && s < 285 {
				extra = (s - 261) / 4
			}
			r.bits(extra)
			d := r.symbol(distances)
			far := d + 1
			if d >= 4 {
				extra := d/2 - 1
				far = (2+d%2)<<extra + 1 + r.bits(extra)
			}
			r.far = max(r.far, far)
		}
	}
}

// fixedCodes are those of §3.2.6.
func fixedCodes() (literals, distances huffman) {
	return newHuffman(slices.Concat(
		slices.Repeat([]int{8}, 144), slices.Repeat([]int{9}, 112),
		slices.Repeat([]int{7}, 24), slices.Repeat([]int{8}, 8),
	)), newHuffman(slices.Repeat([]int{5}, 30))
}

// codes reads the codes of a block (§3.2.7).
func (r *bitReader) codes() (literals, distances huffman) {
	nl, nd, n := 257+r.bits(5), 1+r.bits(5), 4+r.bits(4)
	lengths := make([]int, 19)
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:n] {
		lengths[i] = r.bits(3)
	}
	h := newHuffman(lengths)
	var all []int
	for len(all) < nl+nd {
		switch s := r.symbol(h); s {
		case 16:
			all = append(all, slices.Repeat(all[len(all)-1:], 3+r.bits(2))...)
		case 17:
			all = append(all, make([]int, 3+r.bits(3))...)
		case 18:
			all = append(all, make([]int, 11+r.bits(7))...)
		default:
			all = append(all, s)
		}
	}
	return newHuffman(all[:nl]), newHuffman(all[nl:])
}
