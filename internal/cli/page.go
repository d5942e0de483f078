package cli

import (
	"strings"
	"unicode/utf8"

	"homelab/tools"
)

// page is text for people in the making. Everything that is put on it is made
// printable, so that no name of a file or a service can speak to the terminal.
type page struct {
	strings.Builder
	colored bool
	width   int // of the terminal; 0: not a terminal, lines may be long
}

// style is how a piece of text looks on a terminal.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	purple style = "35"
	cyan   style = "36"
)

func (p *page) paint(s style, text string) string {
	if !p.colored || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// line puts down one line, or several when the text has them.
func (p *page) line(text string) { p.styled(plain, text) }

func (p *page) styled(s style, text string) {
	p.WriteString(p.paint(s, printableLines(text)) + "\n")
}

func (p *page) blank() { p.WriteString("\n") }

// list puts down a heading and indented lines; nothing without lines.
func (p *page) list(heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	p.blank()
	p.styled(bold, heading)
	for _, line := range lines {
		p.line("  " + tools.Printable(line))
	}
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

func text(s string) cell { return cell{text: s} }

const (
	gap       = "  "
	maxColumn = 40 // of every column but the last
	minLast   = 20
	maxLast   = 200
)

// table puts down rows under a header. The last column takes what room is
// left; what does not fit is cut, since --json has it whole.
func (p *page) table(header []string, rows [][]cell) {
	all := make([][]cell, 0, len(rows)+1)
	titles := make([]cell, len(header))
	for i, title := range header {
		titles[i] = cell{title, bold}
	}
	all = append(all, titles)
	for _, row := range rows {
		clean := make([]cell, len(row))
		for i, c := range row {
			clean[i] = cell{tools.Printable(c.text), c.style}
		}
		all = append(all, clean)
	}
	widths := p.widths(all, len(header))
	for _, row := range all {
		var line strings.Builder
		for i, c := range row {
			shown := cut(c.text, widths[i])
			line.WriteString(p.paint(c.style, shown))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(shown)) + gap)
			}
		}
		p.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

func (p *page) widths(rows [][]cell, columns int) []int {
	widths := make([]int, columns)
	for _, row := range rows {
		for i, c := range row {
			widths[i] = min(max(widths[i], utf8.RuneCountInString(c.text)), maxColumn)
		}
	}
	last := columns - 1
	widths[last] = maxLast
	if p.width > 0 {
		room := p.width
		for _, width := range widths[:last] {
			room -= width + len(gap)
		}
		widths[last] = max(room, minLast)
	}
	return widths
}

func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
