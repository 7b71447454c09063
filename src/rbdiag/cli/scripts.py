"""The completion scripts. Each hands the words of the command line to rbdiag and shows what it answers."""

from __future__ import annotations

BASH = r"""# bash completion for rbdiag, made by: rbdiag completion bash

_rbdiag() {
    # bash has split the line at = and : as well; put together again what stands without a space.
    local rest=${COMP_LINE:0:COMP_POINT} words=() word i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ i -eq 0 || -z $rest || $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("")
        fi
        ((i < COMP_CWORD)) || word=$rest
        words[${#words[@]} - 1]+=$word
        rest=${rest#"$word"}
    done
    local program=${words[0]/#\~\//$HOME/} current=${words[${#words[@]} - 1]}

    # Only what follows the last = or : is replaced, so only that part is offered.
    local stays=
    if [[ $COMP_WORDBREAKS == *=* && $current == *=* ]]; then stays=${current%"${current##*=}"}; fi
    if [[ $COMP_WORDBREAKS == *:* && $current == *:* ]]; then
        word=${current%"${current##*:}"}
        ((${#word} <= ${#stays})) || stays=$word
    fi

    local kind
    COMPREPLY=()
    {
        IFS= read -r kind
        if [[ $kind == files ]]; then
            local option=
            [[ $current != -*=* ]] || option=${current%%=*}=
            compopt -o filenames
            while IFS= read -r word; do COMPREPLY+=("$option$word"); done < <(compgen -f -- "${current#"$option"}")
        else
            while IFS=$'\t' read -r word _; do COMPREPLY+=("$word"); done
        fi
    } < <(_RBDIAG_COMPLETE=bash "$program" "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${COMPREPLY[@]#"$stays"}")
}

complete -F _rbdiag rbdiag
"""

ZSH = r"""#compdef rbdiag
# zsh completion for rbdiag, made by: rbdiag completion zsh

_rbdiag() {
    local -a answer words_meant
    local line word
    # What the cursor stands in counts up to the cursor.
    answer=("${(@f)$(_RBDIAG_COMPLETE=zsh ${~words[1]} "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    if [[ $answer[1] == files ]]; then
        compset -P '-*='
        _files
        return
    fi
    for line in "${(@)answer[2,-1]}"; do
        word=${line%%$'\t'*}
        words_meant+=("${word//:/\\:}:${line#*$'\t'}")
    done
    _describe rbdiag words_meant
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _rbdiag "$@"
else
    compdef _rbdiag rbdiag
fi
"""

FISH = r"""# fish completion for rbdiag, made by: rbdiag completion fish

function __rbdiag_complete
    set -l words (commandline -opc)
    set -l current (string unescape -- (commandline -ct))
    set -l answer (_RBDIAG_COMPLETE=fish command $words[1] $words[2..] $current 2>/dev/null)
    if test "$answer[1]" = files
        set -l stays (string match -r -- '^--[^=]*=' $current)
        for path in (__fish_complete_path (string replace -- "$stays" '' $current))
            printf '%s%s\n' "$stays" $path
        end
    else
        printf '%s\n' $answer[2..]
    end
end

complete -c rbdiag -f -k -a '(__rbdiag_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
