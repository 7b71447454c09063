# bash completion for rbdiag, made by: rbdiag completion bash

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
