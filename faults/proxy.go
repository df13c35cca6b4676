package faults

import (
	"context"
	"fmt"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A proxy stands between clients and a server and does to their bytes what its toxics say. It does not say anything.
type proxy struct{ *toxiproxy.Proxy }

// startProxy starts a proxy in front of a server.
func startProxy(name, server string) (*proxy, error) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics log by the package's logger
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), name, "127.0.0.1:0", server)
	return &proxy{p}, p.Start()
}

// The ways through a proxy.
const (
	toClients = "downstream"
	toServer  = "upstream"
)

// add does something to the bytes of one way, of connections that are there too. attributes are JSON.
func (p *proxy) add(kind, way, attributes string) error {
	text := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, kind+way, kind, way, attributes)
	if _, err := p.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		return fmt.Errorf("toxic %s: %w", text, err)
	}
	return nil
}

// remove ends what add began.
func (p *proxy) remove(ctx context.Context, kind, way string) error {
	return p.Toxics.RemoveToxic(ctx, kind+way)
}
