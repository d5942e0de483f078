package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"homelab/internal/deploy"
	"homelab/internal/fault"
)

// trouble is [Engine.explain] for what was to be done with a container: where the
// remedy is known, the words are ours. Nil stays nil.
func (e *Engine) trouble(ctx context.Context, doing string, c deploy.Container, err error) error {
	err = e.explain(ctx, doing, err)
	if !errors.Is(err, deploy.ErrRefused) {
		return err
	}
	said := fault.Of(err)
	for _, known := range troubles {
		if !containsAny(said.Message, known.words) || !strings.Contains(said.Message, known.and) {
			continue
		}
		f := &fault.Error{Op: doing, Code: known.code, Message: said.Message, Hint: known.hint, Err: err}
		if known.say != nil {
			f.Message, f.Hint = known.say(c, said.Message)
		}
		return f
	}
	return err
}

func containsAny(s string, words []string) bool {
	for _, word := range words {
		if strings.Contains(s, word) {
			return true
		}
	}
	return false
}

// troubles are the refusals with a remedy, by the words of engines from 20.10 to 28.
var troubles = []struct {
	words []string // of which one is there,
	and   string   // and this one
	code  fault.Code
	hint  string
	// say gives message and hint; nil: the message is the engine's.
	say func(c deploy.Container, said string) (message, hint string)
}{
	{words: []string{"port is already allocated", "address already in use"}, code: fault.Conflict, say: portTaken},
	{words: []string{"exec format error"}, code: fault.Precondition, say: foreignProgram},
	{words: []string{"bind source path does not exist"}, code: fault.Precondition, say: pathMissing},
	{words: []string{"No such image"}, code: fault.NotFound, hint: "load it first: homelab docker load"},
	{words: []string{"gathering device information"}, code: fault.Precondition, hint: "plug the device in, or correct the devices of the service in the registry"},
	{words: []string{"network "}, and: " not found", code: fault.NotFound, hint: "look what is there: docker network ls; or correct deploy.networks"},
	{words: []string{"cannot remove a running container", "cannot remove container"}, code: fault.Conflict, hint: "stop it first"},
	{words: []string{"is not running", "is not paused"}, code: fault.Conflict, hint: "see why it ended: its logs"},
}

// portTaken names the port, which engines of each version word in another way.
func portTaken(c deploy.Container, said string) (message, hint string) {
	for _, p := range c.Spec.Ports {
		if !mentionsPort(said, p.Host) {
			continue
		}
		return fmt.Sprintf("port %d of the host is taken by something else: container %s cannot publish it", p.Host, c.Name),
			fmt.Sprintf("find it on that host: docker ps --filter publish=%d, else ss -lnp 'sport = :%d'; or choose another port in deploy.ports", p.Host, p.Host)
	}
	return "a port of the host is taken by something else: " + said, "find it on that host: docker ps, or ss -lntup"
}

// mentionsPort says whether a text has ADDRESS:PORT.
func mentionsPort(text string, port int) bool {
	wanted := ":" + strconv.Itoa(port)
	for at := strings.Index(text, wanted); at >= 0; at = strings.Index(text, wanted) {
		text = text[at+len(wanted):]
		if text == "" || text[0] < '0' || text[0] > '9' {
			return true
		}
	}
	return false
}

func foreignProgram(c deploy.Container, _ string) (message, hint string) {
	return fmt.Sprintf("container %s cannot run there: its program is for another processor (exec format error)", c.Name),
		"build the image for the system of that host: hosts.NAME.system and build.targets in the registry"
}

func pathMissing(_ deploy.Container, said string) (message, hint string) {
	_, path, _ := strings.Cut(said, "does not exist: ")
	return fmt.Sprintf("there is no %s on the host, and it was to be mounted", path),
		"make it there, or correct deploy.mounts; homelab makes no folder of a host"
}

// taken says who has a name, when that is what the engine refused.
func (e *Engine) taken(ctx context.Context, doing, name string, err error) error {
	if !errors.Is(err, deploy.ErrRefused) || !strings.Contains(err.Error(), "is already in use by container") {
		return err
	}
	other, failed := e.inspect(ctx, name)
	if failed != nil || other == nil { // gone just now: the engine's words are all there is
		return err
	}
	whose, hint := "is not one of homelab's", "rename or remove it by hand, or choose another deploy.container in the registry"
	if service := other.Config.Labels[deploy.LabelService]; service != "" {
		whose, hint = "is homelab's, of service "+service, "see what runs there: homelab status"
	}
	return &fault.Error{Op: doing, Code: fault.Conflict, Err: err, Hint: hint,
		Message: fmt.Sprintf("the name %s is taken by container %s, which %s", name, other.ID[:shortID], whose)}
}
