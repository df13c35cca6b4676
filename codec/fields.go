package codec

// A Field is a member of a JSON object, as it was sent.
type Field struct {
	Name  []byte // without the quotes
	Value []byte
}

// AppendFields extends dst by the members of the JSON object that text is, in the order and as often as they were sent,
// for protocols with other commands. Its slices point into text. It returns false if text is no JSON object, and for rare
// ones: a name with an escape, values that are nested deeper than 64; and if there are more than most. It does not look
// whether strings are UTF-8.
func AppendFields(dst []Field, text []byte, most int) (all []Field, ok bool) {
	s := scanner{b: text}
	if !s.take('{') {
		return dst, false
	}
	for n := 0; ; n++ {
		name, ok := s.next(n == 0)
		if !ok {
			return dst, false
		}
		if name == nil {
			s.space()
			return dst, s.i == len(s.b)
		}
		value := s.raw()
		if value == nil || n == most {
			return dst, false
		}
		dst = append(dst, Field{name, value})
	}
}
