package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// nchan is nginx with the module nchan: a C server with an event loop. It does not look into messages and has no commands.
// The path of the handshake says whether a connection subscribes or publishes, and to which channel. A message of a
// publisher is published as it is, and answered by a few lines about the channel.
//
// So that every delivery can be told from one of another channel, what we publish names its channel.
type nchan struct{}

func (nchan) Name() string                { return "nchan" }
func (nchan) Handshake() (string, string) { return "/", "" }
func (nchan) Opcode() byte                { return opText }
func (nchan) Acks() bool                  { return true }
func (nchan) Stream() bool                { return false }

func (nchan) ChannelPath(channel string, publishes bool) string {
	if publishes {
		return "pub/" + channel
	}
	return "sub/" + channel
}

func (nchan) AppendHello(dst []byte, _ string) []byte       { return dst }
func (nchan) AppendSubscribe(dst []byte, _ string) []byte   { return dst }
func (nchan) AppendUnsubscribe(dst []byte, _ string) []byte { return dst }

func (nchan) AppendPublish(dst []byte, channel string, data []byte) []byte {
	return fmt.Appendf(dst, `{"channel":%q,"data":%s}`, channel, data)
}

const (
	nchanHead = `{"channel":"`
	nchanMid  = `","data":`
	nchanData = len(nchanHead) + channelNameLen + len(nchanMid)
	nchanAck  = "queued messages: "
)

var errNchan = errors.New("not a message of nchan")

// Parse knows the layout in which we published and leaves all others to encoding/json.
func (nchan) Parse(b []byte) (Message, int, error) {
	if len(b) > nchanData && b[len(b)-1] == '}' && string(b[:len(nchanHead)]) == nchanHead &&
		string(b[nchanData-len(nchanMid):nchanData]) == nchanMid {
		if data := b[nchanData : len(b)-1]; isPlainString(data) {
			return Message{Kind: Delivery, Channel: b[len(nchanHead) : len(nchanHead)+channelNameLen], Data: data}, len(b), nil
		}
	}
	if bytes.HasPrefix(b, []byte(nchanAck)) {
		return Message{Kind: Reply}, len(b), nil
	}
	var m struct {
		Channel string          `json:"channel"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Message{}, 0, fmt.Errorf("%w: %w", errNchan, err)
	}
	if m.Data == nil {
		return Message{}, 0, errNchan
	}
	return Message{Kind: Delivery, Channel: []byte(m.Channel), Data: m.Data}, len(b), nil
}

// nchanModule is where Debian's package libnginx-mod-nchan has it.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// nchanConfig has one process, which is the one that we measure. Its directory of temporary files would be root's.
// A subscriber gets what is published from its subscription on, as those of the other servers do.
const nchanConfig = `load_module %[2]s;
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 65536; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  server {
    listen 127.0.0.1:%[3]d backlog=4096;
    location ~ ^/sub/(.+)$ {
      nchan_subscriber websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }
    location ~ ^/pub/(.+)$ {
      nchan_publisher websocket;
      nchan_channel_id $1;
    }
  }
}
`

func (nchan) Serve(binary, dir string, port, loops int) ([]string, error) {
	if loops > 1 {
		return nil, fmt.Errorf("%w: nginx is started with one process, which has one event loop", ErrUsage)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nchanConfig, dir, nchanModule, port), 0o600); err != nil {
		return nil, err
	}
	return []string{binary, "-e", "stderr", "-c", file}, nil
}
