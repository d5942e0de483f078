package mcpserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/doctor"
	"homelab/internal/mcpserver"
	"homelab/internal/plan"
	"homelab/tools"
	"homelab/tools/toolstest"
)

// awkward are numbers that a float64 does not give back as they were written.
var awkward = []string{
	"9007199254740993", "-9007199254740993", "123456789012345678901", "1e2", "1.0", "0.1000000000000000055511151231257827", "1e400",
}

// An answer has the very id of its question, whatever that is.
func TestIDsComeBackAsTheyWere(t *testing.T) {
	client := connect(t, newServer(t))
	for _, id := range append(awkward, "0", "1", "-1", "1.5", `"9007199254740993"`, `"ä b"`, `""`) {
		for _, question := range []string{
			`"method":"ping"`,
			`"method":"tools/call","params":{"name":"registry_list"}`,
			`"method" : "tools/call", "params" : {"name":"no_such_tool"}`,
			`"method":"nobody/knows"`,
		} {
			client.send(fmt.Sprintf(`{"jsonrpc":"2.0",%s, "id": %s}`, question, id))
			assert.Equal(t, id, string(client.next().ID), question)
		}
	}
}

func TestCancellationByAnAwkwardID(t *testing.T) {
	for _, id := range append(awkward, "7", `"seven"`) {
		core := toolstest.Core()
		started, canceled := make(chan struct{}), make(chan struct{})
		core.Check = func(ctx context.Context, _ plan.CheckRequest) (*plan.Check, error) {
			close(started)
			<-ctx.Done()
			close(canceled)
			return nil, ctx.Err()
		}
		server, err := mcpserver.New(tools.Catalog(core), "test", t.Output())
		require.NoError(t, err)
		client := connect(t, server)
		client.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"registry_check"}}`, id))
		<-started
		client.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s,"reason":"<enough>"}}`, id))
		<-canceled
		assert.Equal(t, id, string(client.next().ID))
	}
}

// Numbers that a float64 cannot tell apart are two calls.
func TestNeighbouringIDsAreTwoCalls(t *testing.T) {
	core := toolstest.Core()
	arrived, leave := make(chan struct{}, 2), make(chan struct{})
	core.Check = func(context.Context, plan.CheckRequest) (*plan.Check, error) {
		arrived <- struct{}{}
		<-leave
		return toolstest.Check(), nil
	}
	server, err := mcpserver.New(tools.Catalog(core), "test", t.Output())
	require.NoError(t, err)
	client := connect(t, server)
	ids := []string{"9007199254740992", "9007199254740993"}
	for _, id := range ids {
		client.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"registry_check"}}`, id))
	}
	<-arrived
	<-arrived
	close(leave)
	assert.ElementsMatch(t, ids, []string{string(client.next().ID), string(client.next().ID)})
}

func TestProgressTokensComeBackAsTheyWere(t *testing.T) {
	core := toolstest.Core()
	core.Doctor = func(_ context.Context, done func(doctor.Check)) (*doctor.Report, error) {
		report := toolstest.Report()
		done(report.Checks[0])
		return report, nil
	}
	server, err := mcpserver.New(tools.Catalog(core), "test", t.Output())
	require.NoError(t, err)
	client := connect(t, server)
	for _, token := range append(awkward, "7", `"seven"`) {
		client.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"doctor","_meta":{"progressToken":%s}}}`, token))
		var progress struct {
			ProgressToken json.RawMessage `json:"progressToken"`
		}
		require.NoError(t, json.Unmarshal(client.next().Params, &progress))
		assert.Equal(t, token, string(progress.ProgressToken))
		assert.Equal(t, "1", string(client.next().ID))
	}
}
