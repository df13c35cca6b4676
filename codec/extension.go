package codec

import "bytes"

// An extension is one element of Sec-WebSocket-Extensions (RFC 6455 §9.1).
type extension struct {
	name   []byte
	params []byte // as they were sent, well-formed: nextParam reads them
}

// A param is a parameter of an extension.
type param struct {
	name, value []byte
	valued      bool // there is a value
}

// nextExtension cuts the first element off a list, which may begin with empty ones. It returns no name at the end of the
// list, and false if the list is not well-formed:
//
//	extension-list  = 1#extension
//	extension       = extension-token *( ";" extension-param )
//	extension-param = token [ "=" (token | quoted-string) ]
func nextExtension(list []byte) (e extension, rest []byte, ok bool) {
	list = bytes.TrimLeft(list, ", \t")
	if len(list) == 0 {
		return extension{}, nil, true
	}
	e.name, list = cutToken(list)
	start := list
	for {
		_, rest, more, ok := nextParam(list)
		if !ok {
			return extension{}, nil, false
		}
		list = rest
		if !more {
			e.params = start[:len(start)-len(list)]
			return e, list, len(e.name) > 0 && (len(list) == 0 || list[0] == ',')
		}
	}
}

// nextParam cuts the first parameter off a list of them, semicolons first. Without one more is false.
func nextParam(list []byte) (p param, rest []byte, more, ok bool) {
	list = trimLeft(list)
	if len(list) == 0 || list[0] != ';' {
		return param{}, list, false, true
	}
	p.name, list = cutToken(trimLeft(list[1:]))
	if len(p.name) == 0 {
		return param{}, nil, false, false
	}
	if list = trimLeft(list); len(list) == 0 || list[0] != '=' {
		return p, list, true, true
	}
	p.valued = true
	p.value, rest = cutValue(trimLeft(list[1:]))
	return p, rest, true, len(p.value) > 0
}

// cutValue cuts a token, perhaps in quotes, off b: "When using the quoted-string syntax variant, the value after
// quoted-string unescaping MUST conform to the 'token' ABNF" (RFC 6455 §9.1). The value is empty if there is none.
func cutValue(b []byte) (value, rest []byte) {
	if len(b) == 0 || b[0] != '"' {
		return cutToken(b)
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return value, b[i+1:]
		case c == '\\' && i+1 < len(b):
			i++
		}
		if class[b[i]]&inToken == 0 {
			break
		}
		value = append(value, b[i])
	}
	return nil, nil
}

// cutToken cuts the token at the start of b off, which may be empty.
func cutToken(b []byte) (token, rest []byte) {
	n := 0
	for n < len(b) && class[b[n]]&inToken != 0 {
		n++
	}
	return b[:n], b[n:]
}

func trimLeft(b []byte) []byte { return bytes.TrimLeft(b, " \t") }

// isExtensionList reports whether the value of a field is well-formed: "If a value is received by either the client or
// the server during negotiation that does not conform to the ABNF below, the recipient of such malformed data MUST
// immediately _Fail the WebSocket Connection_." (RFC 6455 §9.1)
func isExtensionList(list []byte) bool {
	for len(list) > 0 {
		var ok bool
		if _, list, ok = nextExtension(list); !ok {
			return false
		}
	}
	return true
}
