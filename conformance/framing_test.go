package conformance_test

import (
	"fmt"
	"strings"
	"testing"
)

// RFC 6455 §5: frames, and messages in several of them.

func TestPayloads(t *testing.T) {
	var ds []dialogue
	for _, n := range []int{0, 1, 125, 126, 127, 128, 1000, 65534, 65535, 65536} {
		s := long(n)
		ds = append(
			ds,
			dialogue{name: fmt.Sprint("text of ", n), say: textMessage(s), hear: []string{textBack(s)}},
			dialogue{name: fmt.Sprint("binary of ", n), say: binaryMessage(s), hear: []string{binaryBack(s)}},
		)
	}
	hold(t, ds)
}

func TestGiants(t *testing.T) {
	s := long(giantLimit)
	hold(t, []dialogue{
		{name: "text", path: "/giant", say: textMessage(s), hear: []string{textBack(s)}},
		{name: "binary", path: "/giant", say: binaryMessage(s), hear: []string{binaryBack(s)}},
		{name: "fragments of 64", path: "/giant", say: fragments(opBinary, s, 64, ""), hear: []string{binaryBack(s)}},
		{name: "fragments of 64 KiB", path: "/giant", say: fragments(opText, s, 64<<10, ""), hear: []string{textBack(s)}},
	})
}

func TestFraming(t *testing.T) {
	hold(t, []dialogue{
		{name: "a frame that is not masked", say: bits("1 000 0001 0 0000101") + "hello", hear: []string{"close 1002"}},
		{name: "a ping that is not masked", say: bits("1 000 1001 0 0000000"), hear: []string{"close 1002"}},
		{name: "a mask of zeros", say: bits("1 000 0001 1 0000101") + "\x00\x00\x00\x00hello", hear: []string{"text hello"}},

		{name: "RSV1", say: frame(0xc1, "x"), hear: []string{"close 1002"}},
		{name: "RSV2", say: frame(0xa1, "x"), hear: []string{"close 1002"}},
		{name: "RSV3", say: frame(0x92, "x"), hear: []string{"close 1002"}},
		{name: "RSV1 on a ping", say: frame(0xc9, ""), hear: []string{"close 1002"}},
		{name: "RSV2 on a close", say: frame(0xa8, ""), hear: []string{"close 1002"}},
		{name: "RSV3 on a continuation", say: frame(firstText, "a") + frame(0x90, "b"), hear: []string{"close 1002"}},
		{name: "a message before RSV1", say: textMessage("a") + frame(0xc1, "x"), hear: []string{"text a", "close 1002"}},

		{name: "opcode 3", say: frame(0x83, ""), hear: []string{"close 1002"}},
		{name: "opcode 4", say: frame(0x84, "x"), hear: []string{"close 1002"}},
		{name: "opcode 5", say: frame(0x05, ""), hear: []string{"close 1002"}},
		{name: "opcode 6", say: frame(0x86, ""), hear: []string{"close 1002"}},
		{name: "opcode 7", say: frame(0x87, "x"), hear: []string{"close 1002"}},
		{name: "opcode 11", say: frame(0x8b, ""), hear: []string{"close 1002"}},
		{name: "opcode 12", say: frame(0x8c, "x"), hear: []string{"close 1002"}},
		{name: "opcode 13", say: frame(0x0d, ""), hear: []string{"close 1002"}},
		{name: "opcode 14", say: frame(0x8e, ""), hear: []string{"close 1002"}},
		{name: "opcode 15 after a message", say: textMessage("a") + frame(0x8f, ""), hear: []string{"text a", "close 1002"}},

		{name: "125 in 16 bits", say: bits("1 000 0001 1 1111110 0000000001111101") + key, hear: []string{"close 1002"}},
		{name: "65535 in 64 bits", say: bits("1 000 0001 1 1111111") + "\x00\x00\x00\x00\x00\x00\xff\xff" + key, hear: []string{"close 1002"}},
		{name: "the top bit of a 64-bit length", say: bits("1 000 0001 1 1111111 10000000") + "\x00\x00\x00\x00\x00\x00\x00" + key, hear: []string{"close 1002"}},
		{name: "every bit of a 64-bit length", say: bits("1 000 0010 1 1111111") + strings.Repeat("\xff", 8) + key, hear: []string{"close 1002"}},
		{name: "the largest 64-bit length", say: bits("1 000 0010 1 1111111") + "\x7f" + strings.Repeat("\xff", 7) + key, hear: []string{"close 1009"}},
	})
}

func TestControlFrames(t *testing.T) {
	hold(t, []dialogue{
		{name: "a ping", say: ping(""), hear: []string{"pong"}},
		{name: "a ping with bytes that are not text", say: ping("\x00\xff\xfe"), hear: []string{"pong \x00\xff\xfe"}},
		{name: "a ping of 125 bytes", say: ping(long(125)), hear: []string{"pong " + long(125)}},
		{name: "a ping of 126 bytes", say: ping(long(126)), hear: []string{"close 1002"}},
		{name: "a pong of 126 bytes", say: pong(long(126)), hear: []string{"close 1002"}},
		{name: "a close of 126 bytes", say: closing(1000, long(124)), hear: []string{"close 1002"}},
		{name: "a ping with a 64-bit length", say: bits("1 000 1001 1 1111111") + strings.Repeat("\x00", 8) + key, hear: []string{"close 1002"}},
		{name: "ten pings in order", say: ping("0") + ping("1") + ping("2") + ping("3") + ping("4") + ping("5") + ping("6") + ping("7") + ping("8") + ping("9"), hear: []string{"pong 0", "pong 1", "pong 2", "pong 3", "pong 4", "pong 5", "pong 6", "pong 7", "pong 8", "pong 9"}},
		{name: "a pong that nobody asked for", say: pong("x") + ping("y"), hear: []string{"pong y"}},
		{name: "an empty pong that nobody asked for", say: pong(""), hear: nil},
		{name: "a ping in two fragments", say: frame(0x09, "a") + frame(last, "b"), hear: []string{"close 1002"}},
		{name: "a pong in two fragments", say: frame(0x0a, "a") + frame(last, "b"), hear: []string{"close 1002"}},
		{name: "a close in two fragments", say: frame(0x08, "\x03") + frame(last, "\xe8"), hear: []string{"close 1002"}},
	})
}

func TestFragments(t *testing.T) {
	hold(t, []dialogue{
		{name: "text in two", say: frame(firstText, "hel") + frame(last, "lo"), hear: []string{"text hello"}},
		{name: "binary in three", say: frame(firstBinary, "a") + frame(middle, "b") + frame(last, "c"), hear: []string{"binary abc"}},
		{name: "all empty", say: frame(firstText, "") + frame(middle, "") + frame(last, ""), hear: []string{"text"}},
		{name: "empty but for the middle", say: frame(firstText, "") + frame(middle, "mid") + frame(last, ""), hear: []string{"text mid"}},
		{name: "a ping between", say: frame(firstText, "hel") + ping("p") + frame(last, "lo"), hear: []string{"pong p", "text hello"}},
		{name: "pings and pongs between many", say: fragments(opText, long(1000), 100, ping("p")+pong("q")), hear: []string{"pong p", "pong p", "pong p", "pong p", "pong p", "pong p", "pong p", "pong p", "pong p", textBack(long(1000))}},
		{name: "a close between", say: frame(firstText, "hel") + closing(1000, ""), hear: []string{"close 1000"}},
		{name: "two messages", say: frame(firstText, "a") + frame(last, "b") + frame(firstBinary, "c") + frame(last, "d"), hear: []string{"text ab", "binary cd"}},
		{name: "a last frame without a first", say: frame(last, "x"), hear: []string{"close 1002"}},
		{name: "a middle frame without a first", say: frame(middle, "x"), hear: []string{"close 1002"}},
		{name: "a last frame after a whole message", say: textMessage("a") + frame(last, "x"), hear: []string{"text a", "close 1002"}},
		{name: "a message within a message", say: frame(firstText, "a") + textMessage("b"), hear: []string{"close 1002"}},
		{name: "a first frame within a message", say: frame(firstText, "a") + frame(firstText, "b") + frame(last, "c"), hear: []string{"close 1002"}},
		{name: "binary within text", say: frame(firstText, "a") + frame(firstBinary, "b"), hear: []string{"close 1002"}},
		{name: "1,000 of one byte", say: fragments(opBinary, long(1000), 1, ""), hear: []string{binaryBack(long(1000))}},
		{name: "64 KiB in fragments of 997", say: fragments(opText, long(limit), 997, ""), hear: []string{textBack(long(limit))}},
	})
}

func TestLimits(t *testing.T) {
	eleven := long(tinyLimit + 1)
	ten := long(tinyLimit)
	hold(t, []dialogue{
		{name: "as long as allowed", path: "/tiny", say: textMessage(ten), hear: []string{"text " + ten}},
		{name: "a byte longer", path: "/tiny", say: textMessage(eleven), hear: []string{"close 1009"}},
		{name: "only the header of a longer one", path: "/tiny", say: header(opText, 11) + key, hear: []string{"close 1009"}},
		{name: "fragments as long as allowed", path: "/tiny", say: fragments(opBinary, ten, 3, ""), hear: []string{"binary " + ten}},
		{name: "fragments a byte longer", path: "/tiny", say: fragments(opBinary, eleven, 3, ""), hear: []string{"close 1009"}},
		{name: "an empty fragment more", path: "/tiny", say: frame(firstText, ten) + frame(last, ""), hear: []string{"text " + ten}},
		{name: "a ping is no message", path: "/tiny", say: ping(eleven), hear: []string{"pong " + eleven}},
		{name: "longer than the default", say: textMessage(long(limit + 1)), hear: []string{"close 1009"}},
		{name: "longer than a raised limit", path: "/giant", say: header(opBinary, giantLimit+1) + key, hear: []string{"close 1009"}},
		{name: "4 GiB", path: "/giant", say: header(opBinary, 1<<32) + key, hear: []string{"close 1009"}},
	})
}
